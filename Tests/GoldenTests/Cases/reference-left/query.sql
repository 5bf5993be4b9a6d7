SELECT s.id, r.high, r.zone.n AS zone INTO o FROM i s TIMESTAMP BY t LEFT JOIN limits r ON r.id = s.id AND r.high > 4
