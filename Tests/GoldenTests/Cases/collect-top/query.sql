SELECT CollectTop(2, x + y) OVER (ORDER BY a ASC, b DESC) AS l INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
