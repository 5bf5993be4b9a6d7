-- errors: divert
SELECT CAST(a AS bigint) AS x INTO o FROM i TIMESTAMP BY t
