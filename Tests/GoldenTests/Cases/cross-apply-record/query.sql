SELECT p.PropertyName AS k, p.PropertyValue AS v INTO o FROM i AS e TIMESTAMP BY t CROSS APPLY GetRecordProperties(e.r) AS p WHERE GetType(p.PropertyValue) IN ('bigint','float')
