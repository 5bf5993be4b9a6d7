SELECT COUNT(*) AS n, COUNT(v) AS c, SUM(v) AS s, AVG(v) AS a, MIN(v) AS lo, MAX(v) AS hi INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
