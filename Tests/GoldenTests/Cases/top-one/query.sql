SELECT TopOne() OVER (ORDER BY v DESC, id) AS best INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
