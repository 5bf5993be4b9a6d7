SELECT CONCAT(a, '-', b) AS x, CONCAT_WS(', ', a, b, c) AS y, NCHAR(33590) AS z, UNICODE('茶') AS w, NCHAR(-1) AS q INTO o FROM i TIMESTAMP BY t
