SELECT a & b AS x, a | b AS y, a ^ b AS z, ~a AS c INTO o FROM i TIMESTAMP BY t
