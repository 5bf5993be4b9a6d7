SELECT s.v, r.name, r.high, r.note INTO o FROM i s TIMESTAMP BY t LEFT JOIN sites r ON s.id = r.id
