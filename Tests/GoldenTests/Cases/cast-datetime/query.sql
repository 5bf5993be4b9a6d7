SELECT CAST(a AS datetime) AS x, GetType(CAST(a AS datetime)) AS y INTO o FROM i TIMESTAMP BY t
