-- fixed order
-- watermark-over: d
-- idle-after: unlimited
SELECT COUNT(*) AS n, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
