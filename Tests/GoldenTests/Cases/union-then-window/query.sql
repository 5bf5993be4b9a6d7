WITH u AS (SELECT k, v FROM l TIMESTAMP BY t UNION ALL SELECT k, w AS v FROM r TIMESTAMP BY t) SELECT k, SUM(v) AS s, System.Timestamp() AS e INTO o FROM u GROUP BY k, TumblingWindow(second, 10)
