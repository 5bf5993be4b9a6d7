SELECT k, System.Timestamp() AS e, COUNT(*) AS n INTO o FROM i TIMESTAMP BY t GROUP BY k, HoppingWindow(minute, 2, 1)
