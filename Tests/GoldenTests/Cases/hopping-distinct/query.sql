SELECT System.Timestamp() AS e, COUNT(DISTINCT v) AS d INTO o FROM i TIMESTAMP BY t GROUP BY HoppingWindow(second, 10, 5)
