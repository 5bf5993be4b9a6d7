WITH m AS (SELECT k, COUNT(*) AS n FROM l TIMESTAMP BY t GROUP BY k, TumblingWindow(second, 10))
SELECT m.k, m.n, b.y INTO o FROM m JOIN r b TIMESTAMP BY t ON m.k = b.k AND DATEDIFF(second, m, b) BETWEEN 0 AND 5
