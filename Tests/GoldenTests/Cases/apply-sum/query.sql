SELECT i.d, SUM(x.ArrayValue) AS total INTO o FROM i TIMESTAMP BY t CROSS APPLY GetArrayElements(i.r.c) AS x GROUP BY i.d, TumblingWindow(minute, 1)
