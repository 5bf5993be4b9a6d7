SELECT s.id, r.high INTO o FROM i s TIMESTAMP BY t CROSS JOIN limits r WHERE r.high >= 5
