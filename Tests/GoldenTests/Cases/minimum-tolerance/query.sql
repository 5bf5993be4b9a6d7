-- fixed order
-- watermark-over: d
-- idle-after: unlimited
-- out-of-order: 10s
-- policy: drop
SELECT COUNT(*) AS n, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
