-- errors: divert
SELECT SUBSTRING(s, m, 2) AS a, SUBSTRING(s, -1, 4) AS b, SUBSTRING(s, -1000, 1003) AS c, SUBSTRING(s, 2, x) AS d, STUFF(s, 2, x, 'q') AS e, CHARINDEX('l', s, m) AS f, CHARINDEX('l', s, x) AS g, REPLICATE('', x) AS h, POWER(m, 0) AS i, POWER(m, 1) AS j, m % -1 AS k INTO o FROM i TIMESTAMP BY t;
SELECT POWER(m, 2) AS a INTO p FROM i TIMESTAMP BY t
