-- arrival: a
-- policy: drop
-- late: 5s
SELECT v INTO o FROM i TIMESTAMP BY t
