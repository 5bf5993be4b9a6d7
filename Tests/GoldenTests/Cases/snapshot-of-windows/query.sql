WITH PerInterval AS (SELECT Topic, [User], COUNT(*) FROM i TIMESTAMP BY t GROUP BY Topic, [User], TumblingWindow(minute, 1))
SELECT Topic, Users = COUNT(*), Total = SUM (count) INTO o FROM PerInterval GROUP BY Topic, System.Timestamp()
