SELECT s.v, r.zone.n AS zone INTO o FROM i s TIMESTAMP BY t JOIN sites r ON s.id = r.id
