-- fixed order
-- out-of-order: 2s
-- Events that are retimed and events that are not are in one group.
SELECT COUNT(*) AS n, SUM(v) AS s, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
