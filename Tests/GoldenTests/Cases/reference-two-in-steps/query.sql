WITH placed AS (SELECT s.v, d.site FROM i s TIMESTAMP BY t JOIN devices d ON s.id = d.id)
SELECT p.v, z.name INTO o FROM placed p LEFT JOIN zones z ON p.site = z.site
