SELECT a.x, b.y, System.Timestamp() AS at INTO o FROM l a TIMESTAMP BY t JOIN r b TIMESTAMP BY t ON a.k = b.k AND DATEDIFF(second, a, b) >= -3 AND DATEDIFF(second, a, b) < 3
