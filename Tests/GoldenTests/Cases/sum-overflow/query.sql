-- fails: sum_overflow
SELECT SUM(v) AS s INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
