-- arrival: a
SELECT COUNT(*) AS n, System.Timestamp() AS e INTO o FROM i GROUP BY TumblingWindow(second, 10)
