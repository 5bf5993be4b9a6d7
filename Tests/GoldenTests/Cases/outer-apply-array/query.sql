SELECT e.id, x.ArrayIndex AS i, x.ArrayValue AS v INTO o FROM i AS e TIMESTAMP BY t OUTER APPLY GetArrayElements(e.list) AS x
