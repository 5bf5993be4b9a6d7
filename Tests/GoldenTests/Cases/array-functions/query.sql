SELECT GetArrayLength(l) AS n, GetArrayElement(l, 0) AS f, GetArrayElement(l, 5) AS g INTO o FROM i TIMESTAMP BY t
