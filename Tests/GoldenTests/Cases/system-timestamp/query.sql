SELECT System.Timestamp AS a, System.Timestamp() AS b INTO o FROM i TIMESTAMP BY DATEADD(millisecond, e, '1970-01-01T00:00:00Z')
