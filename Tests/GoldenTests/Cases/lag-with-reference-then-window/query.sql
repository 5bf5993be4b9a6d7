SELECT r.name, SUM(LAST(i.v) OVER (LIMIT DURATION(hour, 1) WHEN i.v > 3)) AS s INTO o FROM i TIMESTAMP BY t LEFT JOIN r ON i.id = r.id GROUP BY r.name, TumblingWindow(second, 10)
