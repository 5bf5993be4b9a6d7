WITH s AS (SELECT i.[the dev] AS [d v], v FROM i TIMESTAMP BY t OVER i.[the dev]) SELECT [d v], SUM(v) AS v, System.Timestamp() AS e INTO o FROM s GROUP BY [d v], TumblingWindow(second, 10)
