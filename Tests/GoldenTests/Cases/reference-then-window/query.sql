SELECT r.high AS h, COUNT(*) AS n INTO o FROM i s TIMESTAMP BY t JOIN limits r ON s.id = r.id GROUP BY r.high, TumblingWindow(second, 10)
