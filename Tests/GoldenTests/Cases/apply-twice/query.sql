WITH f AS (SELECT i.id, x.ArrayIndex AS i1, x.ArrayValue AS inner_list FROM i TIMESTAMP BY t CROSS APPLY GetArrayElements(i.ll) AS x)
SELECT f.id, f.i1, y.ArrayIndex AS i2, y.ArrayValue AS v INTO o FROM f CROSS APPLY GetArrayElements(f.inner_list) AS y
