SELECT k, Collect(a + b) AS l INTO o FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10)
