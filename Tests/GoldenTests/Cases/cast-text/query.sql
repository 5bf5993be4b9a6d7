SELECT CAST(a AS nvarchar(max)) AS x INTO o FROM i TIMESTAMP BY t
