-- fixed order
-- watermark-over: d
-- idle-after: 30s
-- late: 1h
-- policy: divert
-- arrival: a
SELECT COUNT(*) AS n, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
