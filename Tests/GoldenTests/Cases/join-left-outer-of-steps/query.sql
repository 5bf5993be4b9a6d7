WITH w AS (SELECT COUNT(*) AS n, System.Timestamp() AS e FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)),
j AS (SELECT w.n, w.e, b.x FROM w LEFT JOIN i b TIMESTAMP BY t ON DATEDIFF(second, w, b) BETWEEN 1 AND 5 AND b.x > 5)
SELECT j.n, j.e, v.n AS other, System.Timestamp() AS at INTO o FROM j LEFT JOIN w v ON DATEDIFF(second, j, v) BETWEEN -20 AND -10 AND v.n > 1
