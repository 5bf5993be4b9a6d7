SELECT a.b.c AS x, a.list[1].v AS y, a.[0] AS z, l.[1] AS w, a.B AS q INTO o FROM i TIMESTAMP BY t
