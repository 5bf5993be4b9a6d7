SELECT TRY_CAST(a AS bigint) AS i, TRY_CAST(a AS float) AS f, TRY_CAST(a AS datetime) AS d, TRY_CAST(a AS bit) AS b, TRY_CAST(a AS record) AS r, TRY_CAST(a AS array) AS l INTO o FROM i TIMESTAMP BY t
