SELECT LEN(a), n.deep.x, CAST(b AS bigint), a INTO o FROM i TIMESTAMP BY t
