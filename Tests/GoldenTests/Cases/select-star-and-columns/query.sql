SELECT a * 2 AS a, *, a + b AS b, a + b AS total INTO o FROM i TIMESTAMP BY t
