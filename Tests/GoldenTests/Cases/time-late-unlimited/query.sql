-- arrival: a
-- late: unlimited
SELECT v, System.Timestamp() AS at INTO o FROM i TIMESTAMP BY t
