SELECT s.v, r.n INTO o FROM i s TIMESTAMP BY t LEFT JOIN many r ON s.id = r.id
