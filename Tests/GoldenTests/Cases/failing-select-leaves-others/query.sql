-- errors: divert
WITH s AS (SELECT id, b FROM i TIMESTAMP BY t WHERE id > 0)
SELECT id, CAST(b AS bigint) AS b INTO numbers FROM i TIMESTAMP BY t;
SELECT id, b INTO whole FROM i TIMESTAMP BY t;
SELECT id INTO positive FROM s WHERE CAST(b AS bigint) > 0;
SELECT id, b INTO step FROM s;
SELECT COUNT(*) AS n INTO counted FROM s GROUP BY TumblingWindow(second, 10)
