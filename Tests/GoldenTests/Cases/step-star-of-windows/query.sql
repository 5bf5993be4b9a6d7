WITH m AS (SELECT k, COUNT(*) AS n FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10)) SELECT *, n + 1 AS more INTO o FROM m
