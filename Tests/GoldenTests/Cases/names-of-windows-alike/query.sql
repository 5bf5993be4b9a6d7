WITH w AS (SELECT k, System.Window().Id AS w, COUNT(*) AS n FROM i TIMESTAMP BY t GROUP BY k, Windows(Window('a', Tumbling(second, 10)), Window('b', Tumbling(second, 10)))),
u AS (SELECT k, n FROM w UNION ALL SELECT k, n + 10 AS n FROM w)
SELECT k, w, n INTO alike FROM w;
SELECT k, n INTO again FROM u;
SELECT k, COUNT(*) AS n INTO session FROM i TIMESTAMP BY t GROUP BY k, SessionWindow(second, 5, 20) OVER (PARTITION BY u)
