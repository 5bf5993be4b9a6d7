SELECT k, COUNT(*) AS n, AVG(v) AS a INTO o FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10) HAVING COUNT(*) > 1 AND AVG(v) >= 2
