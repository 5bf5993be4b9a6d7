SELECT CreatePoint(lat, lon) AS p INTO o FROM i TIMESTAMP BY t
