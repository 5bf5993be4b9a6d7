-- fixed order
-- watermark-over: d
-- idle-after: unlimited
-- policy: divert
SELECT COUNT(*) AS n, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
