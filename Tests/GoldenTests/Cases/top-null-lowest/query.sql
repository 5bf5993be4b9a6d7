SELECT CollectTop(3, id) OVER (ORDER BY v ASC) AS l INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
