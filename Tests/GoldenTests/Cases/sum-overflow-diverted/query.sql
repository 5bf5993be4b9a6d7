-- errors: divert
SELECT k, SUM(v) AS s INTO o FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10)
