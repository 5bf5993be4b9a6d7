SELECT topic, COUNT(*) AS n, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY topic, SlidingWindow(second, 10) HAVING COUNT(*) >= 3
