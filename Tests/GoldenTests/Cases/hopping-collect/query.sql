SELECT System.Timestamp() AS e, Collect(v) AS l, TopOne(v) OVER (ORDER BY v DESC) AS top INTO o FROM i TIMESTAMP BY t GROUP BY HoppingWindow(second, 10, 5)
