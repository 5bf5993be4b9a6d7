SELECT a + 1 AS n, a & b AS x, a | b AS y, a ^ b AS z, ~a AS c INTO o FROM i TIMESTAMP BY t
