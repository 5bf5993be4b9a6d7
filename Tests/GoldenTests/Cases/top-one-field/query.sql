SELECT k, TopOne() OVER (ORDER BY v ASC).id AS least, TopOne(v * 2) OVER (ORDER BY v DESC) AS twice INTO o FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10)
