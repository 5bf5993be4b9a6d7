SELECT SUM(a.v) AS a, SUM(b.v) AS b, COUNT(b.w) AS n INTO o FROM l a TIMESTAMP BY t JOIN r b TIMESTAMP BY t ON DATEDIFF(second, a, b) BETWEEN 0 AND 0 GROUP BY TumblingWindow(second, 10)
