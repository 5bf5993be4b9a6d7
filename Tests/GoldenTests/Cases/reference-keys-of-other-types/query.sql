SELECT i.k, r.name INTO o FROM i TIMESTAMP BY t JOIN r ON i.k = r.id
