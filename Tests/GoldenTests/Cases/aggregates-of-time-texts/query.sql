SELECT MIN(t) AS lo, MAX(t) AS hi, MAX(u) AS u INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
