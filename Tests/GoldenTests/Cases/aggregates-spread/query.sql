SELECT STDEV(v) AS sd, STDEVP(v) AS sp, VAR(v) AS va, VARP(v) AS vp INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
