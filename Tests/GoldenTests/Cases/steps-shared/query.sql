WITH clean AS (SELECT k, TRY_CAST(v AS float) AS v FROM i TIMESTAMP BY t WHERE v IS NOT NULL),
minutes AS (SELECT k, AVG(v) AS mean FROM clean GROUP BY k, TumblingWindow(minute, 1))
SELECT * INTO archive FROM clean
SELECT k, mean INTO alarms FROM minutes WHERE mean > 2
SELECT k, MAX(mean) AS peak, System.Timestamp() AS e INTO hours FROM minutes GROUP BY k, TumblingWindow(hour, 1)
