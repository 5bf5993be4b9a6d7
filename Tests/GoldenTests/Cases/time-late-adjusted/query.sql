-- arrival: a
SELECT v, System.Timestamp() AS at INTO o FROM i TIMESTAMP BY t
