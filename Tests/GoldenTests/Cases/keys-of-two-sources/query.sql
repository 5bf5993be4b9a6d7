SELECT a.k AS x, b.k AS y, COUNT(*) AS n INTO o FROM l a TIMESTAMP BY t JOIN r b TIMESTAMP BY t ON DATEDIFF(second, a, b) BETWEEN 0 AND 1 GROUP BY a.k, b.k, TumblingWindow(second, 10)
