SELECT System.Timestamp() AS e, SUM(v) AS s, MIN(v) AS lo, MAX(v) AS hi, AVG(v) AS a INTO o FROM i TIMESTAMP BY t GROUP BY HoppingWindow(Duration(second, 7), Hop(second, 3))
