SELECT COUNT(*) AS n, SUM(v) AS s, MIN(v) AS lo, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY SlidingWindow(second, 10)
