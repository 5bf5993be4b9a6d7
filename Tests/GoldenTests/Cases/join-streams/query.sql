SELECT a.id, a.x, b.y, System.Timestamp() AS at INTO o FROM l a TIMESTAMP BY t JOIN r b TIMESTAMP BY t ON a.id = b.id AND DATEDIFF(second, a, b) BETWEEN 0 AND 5
