-- fixed order
-- watermark-over: plant.line, [d 1]
-- idle-after: unlimited
-- policy: drop
SELECT COUNT(*) AS n, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
