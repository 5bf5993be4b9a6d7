WITH s AS (SELECT a.b AS x, *, 5 AS five FROM i TIMESTAMP BY t) SELECT x, k, FIVE AS f, a.c AS c INTO o FROM s WHERE x > 1
