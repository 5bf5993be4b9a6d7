SELECT d.id, d AS whole, COUNT(*) AS n INTO o FROM i TIMESTAMP BY t GROUP BY d, TumblingWindow(minute, 1)
