SELECT k, COUNT(*) AS [Count] INTO o FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10) HAVING [Count] >= 2
