SELECT GetRecordPropertyValue(r, 'x') AS a, GetRecordPropertyValue(r, n) AS b INTO o FROM i TIMESTAMP BY t
