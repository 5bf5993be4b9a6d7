CREATE TABLE sites (id bigint, high float, since datetime, isOn bit);
SELECT s.v, r.high + 1 AS higher, r.isOn, DATEADD(hour, 1, r.since) AS later, GetType(r.id) AS type
INTO o FROM i s TIMESTAMP BY t LEFT JOIN sites r ON s.id = r.id
