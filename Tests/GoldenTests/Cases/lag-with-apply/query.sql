SELECT e.ArrayValue AS v, LAG(id) OVER (LIMIT DURATION(hour, 1)) AS before, SUM(id) OVER (LIMIT DURATION(second, 2)) AS s INTO o FROM i TIMESTAMP BY t CROSS APPLY GetArrayElements(a) AS e
