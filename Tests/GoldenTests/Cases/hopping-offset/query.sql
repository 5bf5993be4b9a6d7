SELECT System.Timestamp() AS e, COUNT(*) AS n INTO o FROM i TIMESTAMP BY t GROUP BY HoppingWindow(second, 10, 5, 2)
