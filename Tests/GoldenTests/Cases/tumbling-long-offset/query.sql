SELECT System.Timestamp() AS e, COUNT(*) AS n INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(minute, 30, 5)
