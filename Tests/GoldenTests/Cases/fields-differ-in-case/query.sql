SELECT v, V AS w, SUM(x) AS a, SUM(X) AS b INTO o FROM i TIMESTAMP BY t GROUP BY v, V, TumblingWindow(second, 10)
