SELECT REPLACE(s, 'cd', 'x') AS a, REPLACE(s, '', 'x') AS b, TRANSLATE(s, 'ab', 'ba') AS c, REPLICATE(s, 2) AS d, REPLICATE(s, -1) AS e, SPACE(2) + '|' AS f INTO o FROM i TIMESTAMP BY t
