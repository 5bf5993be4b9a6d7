SELECT (MAX(v) - MIN(v)) * 1.0 / COUNT(*) AS x, CASE WHEN AVG(v) > 2 THEN 'high' ELSE 'low' END AS y INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
