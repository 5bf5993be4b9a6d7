SELECT MIN(CAST(s AS nvarchar(max))) AS lo, MAX(CAST(s AS nvarchar(max))) AS hi, COUNT(s) AS n INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
