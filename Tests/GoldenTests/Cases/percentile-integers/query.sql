SELECT Percentile_Disc(0.5) OVER (ORDER BY v) AS d, Percentile_Cont(0.25) OVER (ORDER BY v) AS c INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
