-- errors: divert
SELECT k, COUNT(*) AS n, MAX(a) AS a, SUM(b) AS b, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10);
SELECT COUNT(*) AS n, MAX(a) AS a, SUM(b) AS b, System.Timestamp() AS e INTO session FROM i TIMESTAMP BY t GROUP BY SessionWindow(second, 4, 60);
SELECT COUNT(*) AS n, MAX(a) AS a, SUM(b) AS b, System.Timestamp() AS e INTO sliding FROM i TIMESTAMP BY t GROUP BY SlidingWindow(second, 2);
SELECT id, SUM(b) OVER (LIMIT DURATION(second, 10)) AS s INTO behind FROM i TIMESTAMP BY t
