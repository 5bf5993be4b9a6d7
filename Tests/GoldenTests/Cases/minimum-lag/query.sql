-- watermark-over: d
-- idle-after: unlimited
SELECT d, v, LAG(v) OVER (LIMIT DURATION(minute, 1)) AS before, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t
