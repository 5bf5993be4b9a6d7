CREATE TABLE i (t datetime, d datetime);
SELECT MIN(d) AS lo, MAX(d) AS hi INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(minute, 1)
