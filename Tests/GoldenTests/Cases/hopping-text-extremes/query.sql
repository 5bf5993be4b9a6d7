SELECT System.Timestamp() AS e, MIN(CAST(v AS nvarchar(max))) AS lo INTO o FROM i TIMESTAMP BY t GROUP BY HoppingWindow(second, 10, 5)
