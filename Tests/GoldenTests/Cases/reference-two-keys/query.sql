SELECT s.v, r.x INTO o FROM i s TIMESTAMP BY t JOIN r ON s.a = r.a AND LOWER(s.b) = r.b
