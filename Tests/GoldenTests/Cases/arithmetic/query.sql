SELECT a + b AS s, a - b AS d, a * b AS p, a / b AS q, a % b AS r, -a AS m, +a AS u INTO o FROM i TIMESTAMP BY t
