SELECT Topic, COUNT(*) AS n, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY Topic, SessionWindow(minute, 5, 10)
