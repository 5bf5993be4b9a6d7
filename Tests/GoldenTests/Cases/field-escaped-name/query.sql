SELECT temp, [a b] AS x, [q"] AS y INTO o FROM i TIMESTAMP BY t
