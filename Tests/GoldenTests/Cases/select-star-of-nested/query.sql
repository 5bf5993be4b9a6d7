SELECT s.id, s.a.b.*, s.a.c.d.* INTO o FROM i s TIMESTAMP BY t
