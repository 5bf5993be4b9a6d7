SELECT System.Timestamp() AS e, COUNT(*) AS n, SUM(v) AS s INTO o FROM i TIMESTAMP BY t GROUP BY HoppingWindow(second, 10, 5)
