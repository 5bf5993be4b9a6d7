SELECT System.Timestamp() AS e, VARP(v) AS x INTO o FROM i TIMESTAMP BY t GROUP BY HoppingWindow(second, 10, 5)
