-- watermark-over: d
-- idle-after: unlimited
WITH both AS (SELECT v FROM l TIMESTAMP BY t UNION ALL SELECT v FROM r TIMESTAMP BY t) SELECT SUM(v) AS s, System.Timestamp() AS e INTO o FROM both GROUP BY HoppingWindow(second, 20, 10)
