SELECT s.v, r.name, r.high INTO o FROM i s TIMESTAMP BY t JOIN sites r ON s.id = r.id
