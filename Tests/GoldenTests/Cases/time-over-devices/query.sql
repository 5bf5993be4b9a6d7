-- fixed order
SELECT d, COUNT(*) AS n, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t OVER d GROUP BY d, TumblingWindow(second, 10)
