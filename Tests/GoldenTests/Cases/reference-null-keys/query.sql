SELECT s.v, r.x INTO o FROM i s TIMESTAMP BY t LEFT JOIN r ON s.a = r.a AND s.b = r.b
