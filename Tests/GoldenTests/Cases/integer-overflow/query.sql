-- fails: overflow
SELECT a + 1 AS x INTO o FROM i TIMESTAMP BY t
