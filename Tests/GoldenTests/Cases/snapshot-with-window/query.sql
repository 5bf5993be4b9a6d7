WITH PerInterval AS (SELECT Topic, [User], COUNT(*) AS c FROM i TIMESTAMP BY t GROUP BY Topic, [User], TumblingWindow(minute, 1))
SELECT Topic, Users = COUNT(*), Total = SUM(c), System.Timestamp() AS e INTO o FROM PerInterval GROUP BY Topic, System.Timestamp(), Tumbling(minute, 2)
