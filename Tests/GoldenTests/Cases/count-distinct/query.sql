SELECT k, COUNT(DISTINCT v) AS d, COUNT(v) AS n INTO o FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10)
