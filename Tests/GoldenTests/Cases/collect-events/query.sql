SELECT Collect() AS l INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
