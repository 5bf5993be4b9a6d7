SELECT SUM(s) AS s, MAX(s) AS hi INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
