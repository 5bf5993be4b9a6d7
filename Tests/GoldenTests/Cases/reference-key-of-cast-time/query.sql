SELECT s.v, r.x INTO o FROM i s TIMESTAMP BY t JOIN days r ON r.day = DATEADD(day, DATEDIFF(day, '2026-01-01', s.t), CAST('2026-01-01' AS datetime))
