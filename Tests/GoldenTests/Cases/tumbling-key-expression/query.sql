SELECT LOWER(site) AS place, COUNT(*) AS n INTO o FROM i TIMESTAMP BY t GROUP BY LOWER(site), TumblingWindow(minute, 1)
