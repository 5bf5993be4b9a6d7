SELECT site, kind, COUNT(*) AS n, SUM(v) AS s INTO o FROM i TIMESTAMP BY t GROUP BY site, kind, Tumbling(s, 10)
