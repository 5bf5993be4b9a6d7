SELECT COUNT(*) AS n, MAX(v) AS m INTO o FROM i TIMESTAMP BY t WHERE v > 1 GROUP BY TumblingWindow(second, 10)
