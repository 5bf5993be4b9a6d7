-- arrival: a
SELECT v INTO o FROM i TIMESTAMP BY t
