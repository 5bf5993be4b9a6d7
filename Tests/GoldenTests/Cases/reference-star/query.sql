SELECT s.id, r.* INTO o FROM i s TIMESTAMP BY t JOIN limits r ON s.id = r.id
