WITH twice AS (SELECT id, 1 AS way FROM i TIMESTAMP BY t UNION ALL SELECT id, 2 AS way FROM i TIMESTAMP BY t),
spread AS (SELECT i.id, a.ArrayValue AS v FROM i TIMESTAMP BY t CROSS APPLY GetArrayElements(i.list) AS a),
both AS (SELECT id, v FROM spread UNION ALL SELECT id, way AS v FROM twice)
SELECT id, way INTO twice FROM twice;
SELECT id, v INTO both FROM both;
SELECT s.id, s.v, b.id AS other INTO joined FROM spread s JOIN i b TIMESTAMP BY t ON DATEDIFF(second, s, b) BETWEEN 0 AND 1
