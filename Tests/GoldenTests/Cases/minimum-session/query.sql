-- watermark-over: d
-- idle-after: unlimited
SELECT COUNT(*) AS n, MIN(v) AS first, MAX(v) AS last, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY SessionWindow(second, 5, 60)
