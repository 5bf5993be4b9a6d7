SELECT System.Window().Id AS w, COUNT(*) AS n INTO o FROM i TIMESTAMP BY t GROUP BY Windows(TumblingWindow(second, 10), SlidingWindow(second, 5), SessionWindow(second, 3, 30))
