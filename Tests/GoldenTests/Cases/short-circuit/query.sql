SELECT id INTO o FROM i TIMESTAMP BY t WHERE GetType(a) = 'nvarchar(max)' AND CAST(a AS bigint) > 5
