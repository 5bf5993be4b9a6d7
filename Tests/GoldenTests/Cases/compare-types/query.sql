SELECT id, (a = b) AS eq, a < b AS lt INTO o FROM i TIMESTAMP BY t
