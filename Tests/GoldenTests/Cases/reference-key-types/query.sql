SELECT s.v, r.x INTO o FROM i s TIMESTAMP BY t JOIN keys r ON s.id = r.id
