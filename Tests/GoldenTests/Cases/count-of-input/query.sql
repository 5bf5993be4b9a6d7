SELECT COUNT(i) AS n INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
