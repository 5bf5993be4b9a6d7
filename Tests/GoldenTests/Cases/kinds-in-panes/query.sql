-- errors: divert
SELECT COUNT(*) AS n, MAX(x) AS m, SUM(x) AS s, System.Timestamp() AS e INTO hopping FROM i TIMESTAMP BY t GROUP BY HoppingWindow(second, 10, 5);
SELECT COUNT(*) AS n, MAX(x) AS m, System.Timestamp() AS e INTO sliding FROM i TIMESTAMP BY t GROUP BY SlidingWindow(second, 10);
SELECT id, MAX(x) OVER (LIMIT DURATION(second, 10)) AS m INTO behind FROM i TIMESTAMP BY t
