WITH high AS (SELECT id, high * 10 AS ten FROM limits WHERE high > 4) SELECT s.id, h.ten INTO o FROM i s TIMESTAMP BY t LEFT JOIN high h ON s.id = h.id
