SELECT a.id, b.y, System.Timestamp() AS at INTO o FROM l a TIMESTAMP BY t LEFT JOIN r b TIMESTAMP BY t ON a.id = b.id AND DATEDIFF(second, a, b) BETWEEN 0 AND 10
