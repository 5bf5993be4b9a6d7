-- Each case: a line `--- name`, optionally `--@ reference name, …`, and the query.
--- everything of an input
SELECT * INTO archive FROM sensors
--- no output is named
SELECT * FROM sensors
--- three spellings of an alias
SELECT deviceId AS device, temperature celsius, site = location FROM sensors
--- a filter
SELECT deviceId, temperature INTO hot FROM sensors WHERE temperature > 80 AND NOT (status = 'off' OR status = 'test')
--- all of one source
SELECT s.*, System.Timestamp() AS at FROM sensors s
--- keywords in any case
select deviceid, count(*) as n into OUT from Sensors timestamp by ts group by deviceid, tumblingwindow(SECOND, 10)
--- names in brackets
SELECT [order], [my field], [a]]b], [user] AS [the user] INTO [out-1] FROM [iot-hub]
--- names without brackets that look like keywords
SELECT timestamp, value, limit, partition, count, duration, day, window INTO o FROM input TIMESTAMP BY timestamp
--- comments everywhere
-- first
SELECT a, /* not b, */ c -- and no more
FROM /* the
source */ sensors;
--- text constants
SELECT 'it''s', N'Zürich', '', 'a -- b /* c', N'ノード' FROM i
--- number constants
SELECT 0, 42, 9223372036854775807, -9223372036854775808, 1.5, .5, 2., 1e3, 6.02E+23, 1e-7 FROM i
--- null and bits
SELECT NULL AS nothing, true AS yes, FALSE AS no FROM i
--- precedence of arithmetic
SELECT a + b * c - d / e % f, (a + b) * (c - d), a - (b - c), -a * -b, -(-a), +a FROM i
--- precedence of logic
SELECT a FROM i WHERE a = 1 OR b = 2 AND NOT c = 3 OR NOT (d = 4 AND e = 5)
--- every comparison
SELECT a FROM i WHERE a = 1 AND b <> 2 AND c != 3 AND d < 4 AND e <= 5 AND f > 6 AND g >= 7
--- LIKE, IN, BETWEEN, IS NULL and their negations
SELECT a FROM i WHERE a LIKE 'x%' AND b NOT LIKE '_y' AND c IN (1, 2, 3) AND d NOT IN ('p') AND e BETWEEN 1 AND 2 + 3 AND f NOT BETWEEN 0 AND 9 AND g IS NULL AND h IS NOT NULL
--- BETWEEN keeps its AND
SELECT a FROM i WHERE a BETWEEN 1 AND 2 AND b BETWEEN 3 AND 4 OR c = 5
--- CASE with conditions
SELECT CASE WHEN t > 90 THEN 'hot' WHEN t < 10 THEN 'cold' ELSE 'fine' END AS class FROM i
--- CASE with an operand
SELECT CASE make WHEN 'A' THEN 1 WHEN 'B' THEN 2 END AS code FROM i
--- casts to every type
SELECT CAST(a AS bigint), CAST(b AS float), TRY_CAST(c AS datetime), CAST(d AS nvarchar(max)), TRY_CAST(e AS bit), TRY_CAST(f AS record), TRY_CAST(g AS array) FROM i
--- nested fields and elements
SELECT device.location.lat, readings[0], readings.[1], payload.list[2].name, a.[b c].d, x.end, x.[from] FROM i
--- fields of results
SELECT LAST(*) OVER (LIMIT DURATION(minute, 1)).temperature, GetArrayElement(a, 0).b[1], (a).b FROM i
--- System.Timestamp with and without parentheses
SELECT System.Timestamp, System.Timestamp() AS t, system.timestamp AS u FROM i
--- a field called System
SELECT [System].[Timestamp] FROM i
--- metadata of the message
SELECT GetMetadataPropertyValue(i, 'IoTHub.ConnectionDeviceId') AS device, i.IoTHub.ConnectionDeviceId, IoTHub.EnqueuedTime, GetMetadataPropertyValue(i, 'EventId') FROM i
--- text functions
SELECT LEN(a), LOWER(a), UPPER(a), LEFT(a, 3), RIGHT(a, 2), SUBSTRING(a, 1, 4), CONCAT(a, '-', b, c), CONCAT_WS(',', a, b), TRIM(a), LTRIM(a), RTRIM(a), REPLACE(a, 'x', 'y'), REPLICATE('ab', 3), REVERSE(a), CHARINDEX('x', a), CHARINDEX('x', a, 2), PATINDEX('%x%', a), REGEXMATCH(a, '^x'), STUFF(a, 1, 2, 'z'), TRANSLATE(a, 'xy', 'yx'), SPACE(2), NCHAR(65), UNICODE(a) FROM i
--- number functions
SELECT ABS(a), CEILING(a), FLOOR(a), EXP(a), POWER(a, 2), ROUND(a, 1), SIGN(a), SQUARE(a), SQRT(a), COALESCE(a, b, 0) FROM i
--- date functions with long and short units
SELECT DATEADD(hour, -1, t), DATEDIFF(ss, t, System.Timestamp()), DATEPART(dw, t), DATENAME(month, t), YEAR(t), MONTH(t), DAY(t), DATETIMEFROMPARTS(2026, 1, 2, 3, 4, 5, 6), DATEPART(dayofyear, t) FROM i
--- arrays and records
SELECT GetArrayElement(a, 0), GetArrayLength(a), GetRecordPropertyValue(r, 'x'), GetType(a) FROM i
--- geography
SELECT ST_DISTANCE(CreatePoint(lat, lon), CreatePoint(47.4, 8.5)) AS metres, ST_WITHIN(CreatePoint(lat, lon), fence) FROM i
--- event time from milliseconds
SELECT System.Timestamp() AS t, plate FROM i TIMESTAMP BY DATEADD(millisecond, epoch, '1970-01-01T00:00:00Z')
--- event time by kind of event
SELECT System.Timestamp() AS t FROM i TIMESTAMP BY (CASE kind WHEN 'A' THEN ta WHEN 'B' THEN tb ELSE NULL END)
--- a timeline for each device
SELECT deviceId, COUNT(*) AS n FROM sensors TIMESTAMP BY ts OVER deviceId GROUP BY deviceId, TumblingWindow(minute, 1)
--- timelines and partitions
SELECT TollId, COUNT(*) AS n FROM i TIMESTAMP BY EntryTime OVER TollId, PartitionId PARTITION BY PartitionId GROUP BY TumblingWindow(minute, 3), TollId, PartitionId
--- alias before and behind the time
SELECT a.x FROM first AS a TIMESTAMP BY t UNION ALL SELECT b.x FROM second TIMESTAMP BY t AS b
--- repartitioning
WITH spread AS (SELECT * FROM i PARTITION BY deviceId INTO 8) SELECT * INTO o FROM spread PARTITION BY deviceId
--- every aggregate of tier 1
SELECT COUNT(*) AS n, COUNT(DISTINCT plate) AS plates, COUNT(x) AS c, SUM(x) AS s, AVG(x) AS a, MIN(x) AS low, MAX(x) AS high, STDEV(x), STDEVP(x), VAR(x), VARP(x) FROM i GROUP BY TumblingWindow(hour, 1)
--- an expression over aggregates
SELECT site, (MAX(x) - MIN(x)) / COUNT(*) AS spread, DATEDIFF(s, MIN(t), System.Timestamp()) AS age FROM i TIMESTAMP BY t GROUP BY site, TumblingWindow(minute, 5)
--- grouping by an expression
SELECT LOWER(site) AS place, COUNT(*) AS n FROM i GROUP BY LOWER(site), TumblingWindow(minute, 5)
--- grouping by a field of the source
SELECT s.site, device.id, COUNT(*) AS n FROM i s GROUP BY site, s.device, TumblingWindow(minute, 5)
--- HAVING, with and without the alias
SELECT make, COUNT(*) AS [Count] FROM i GROUP BY make, TumblingWindow(second, 10) HAVING [Count] >= 3 AND AVG(x) > 1.5
--- tumbling in both forms, with offsets
SELECT COUNT(*) AS n INTO a FROM i GROUP BY TumblingWindow(Duration(hour, 1), Offset(millisecond, -1));
SELECT COUNT(*) AS n INTO b FROM i GROUP BY Tumbling(mi, 30, 5);
SELECT COUNT(*) AS n INTO c FROM i GROUP BY TumblingWindow(minute, 0.5)
--- hopping in both forms, with offsets
SELECT COUNT(*) AS n INTO a FROM i GROUP BY HoppingWindow(second, 10, 5);
SELECT COUNT(*) AS n INTO b FROM i GROUP BY HoppingWindow(minute, 10, 5, 1);
SELECT COUNT(*) AS n INTO c FROM i GROUP BY Hopping(Duration(hour, 1), Hop(minute, 5), Offset(second, -1));
SELECT COUNT(*) AS n INTO d FROM i GROUP BY HoppingWindow(Duration(day, 7), Hop(day, 1))
--- sliding in both forms
SELECT k, COUNT(*) AS n INTO a FROM i GROUP BY k, SlidingWindow(second, 30);
SELECT COUNT(*) AS n INTO b FROM i GROUP BY Sliding(Duration(hours, 1)) HAVING COUNT(*) > 3
--- sessions
SELECT userId, MIN(t) AS start, System.Timestamp() AS stop, COUNT(*) AS clicks INTO a FROM i TIMESTAMP BY t GROUP BY userId, SessionWindow(minute, 2, 60) OVER (PARTITION BY userId);
SELECT COUNT(*) AS n INTO b FROM i GROUP BY Session(Timeout(second, 20), MaxDuration(minute, 10))
--- a snapshot
SELECT site, COUNT(*) AS n, System.Timestamp() AS t FROM i GROUP BY site, System.Timestamp()
--- several windows at once
SELECT System.Window().Id AS id, COUNT(*) AS n FROM i GROUP BY Windows(Window('10s', TumblingWindow(second, 10)), Window('1m', HoppingWindow(minute, 2, 1)), Window('slide', SlidingWindow(minute, 1)), Window('visit', SessionWindow(minute, 1, 5)))
--- several windows without ids
SELECT COUNT(*) AS n FROM i GROUP BY Windows(TumblingWindow(minute, 10), TumblingWindow(minute, 20)), site
--- all units of windows
SELECT COUNT(*) AS n FROM i GROUP BY Windows(Window('a', Tumbling(day, 1)), Window('b', Tumbling(hh, 1)), Window('c', Tumbling(n, 1)), Window('d', Tumbling(ss, 1)), Window('e', Tumbling(ms, 1)), Window('f', Tumbling(mcs, 1)))
--- the longest window
SELECT COUNT(*) AS n FROM i GROUP BY TumblingWindow(hour, 168)
--- the last value of each kind
SELECT deviceId, LAG(t) OVER (PARTITION BY deviceId LIMIT DURATION(minute, 5)) AS before FROM i
--- LAG with an offset and a default
SELECT t - LAG(t, 2, 0.0) OVER (LIMIT DURATION(hour, 3)) AS rise FROM i
--- LAG in WHERE
SELECT make FROM i WHERE LAG(make, 1) OVER (LIMIT DURATION(minute, 1)) <> make
--- LAST with a condition: how long a thing took
SELECT [user], feature, DATEDIFF(second, LAST(Time) OVER (PARTITION BY [user], feature LIMIT DURATION(hour, 1) WHEN Event = 'start'), Time) AS duration FROM i TIMESTAMP BY Time WHERE Event = 'end'
--- ISFIRST
SELECT plate FROM i TIMESTAMP BY t WHERE ISFIRST(mi, 10) OVER (PARTITION BY make WHEN model <> 'x') = 1 AND ISFIRST(minute, 10) = 1
--- a moving average
SELECT deviceId, AVG(t) OVER (PARTITION BY deviceId LIMIT DURATION(minute, 5)) AS mean, COUNT(*) OVER (LIMIT DURATION(minute, 1) WHEN t > 5) FROM i
--- the top of a window
SELECT TopOne() OVER (ORDER BY t DESC, deviceId) AS best, CollectTop(3) OVER (ORDER BY t ASC) AS three, Collect() AS every, Collect(t) AS temps FROM i GROUP BY TumblingWindow(second, 10)
--- a field of the top
SELECT TopOne() OVER (PARTITION BY site ORDER BY t DESC).deviceId AS hottest FROM i GROUP BY TumblingWindow(second, 10)
--- percentiles
SELECT PERCENTILE_CONT(0.95) OVER (ORDER BY t) AS p95, Percentile_Disc(0.5) OVER (ORDER BY t DESC) AS median FROM i GROUP BY SlidingWindow(hour, 1)
--- a join of streams
SELECT a.id, b.leave FROM entry a TIMESTAMP BY enter JOIN exit b TIMESTAMP BY leave ON a.id = b.id AND DATEDIFF(minute, a, b) BETWEEN 0 AND 15
--- what did not happen
SELECT a.id FROM entry a TIMESTAMP BY enter LEFT OUTER JOIN exit b TIMESTAMP BY leave ON DATEDIFF(minute, a, b) BETWEEN 0 AND 15 AND a.id = b.id WHERE b.id IS NULL
--- three streams
SELECT s.id, e.code FROM tstart s JOIN tend t ON DATEDIFF(second, s, t) BETWEEN 0 AND 5 AND s.id = t.id INNER JOIN errors e ON DATEDIFF(second, s, e) BETWEEN 0 AND 5 AND e.id = s.id
--- a bound in two comparisons
SELECT a.x FROM l a JOIN r b ON DATEDIFF(second, a, b) >= -10 AND 10 > DATEDIFF(second, a, b) AND a.k = b.k
--- the same moment
SELECT a.x FROM l a LEFT JOIN r b ON DATEDIFF(ms, a, b) = 0
--- reference data needs no bound
--@ reference limits
SELECT s.deviceId, limits.high INTO alerts FROM sensors s JOIN limits ON s.deviceId = limits.deviceId WHERE s.t > limits.high
--- reference data through a step
--@ reference limits
WITH high AS (SELECT deviceId, high FROM limits WHERE high > 5) SELECT s.t, h.high FROM sensors s LEFT JOIN high h ON s.deviceId = h.deviceId
--- every row of reference data
--@ reference zones
SELECT s.id, z.name FROM sensors s CROSS JOIN zones z WHERE ST_WITHIN(s.point, z.fence) = 1
--- rows from an array
SELECT e.deviceId, item.ArrayIndex, item.ArrayValue.name FROM events AS e CROSS APPLY GetArrayElements(e.items) AS item
--- rows from a record, and those without
SELECT s.id, p.PropertyName, p.PropertyValue FROM sensors s OUTER APPLY GetRecordProperties(s.readings) p WHERE GetType(p.PropertyValue) IN ('bigint', 'float')
--- the query that ships
SELECT deviceId AS device, p.PropertyName AS field, COUNT(*) AS n, AVG(CAST(p.PropertyValue AS float)) AS mean INTO minute FROM telemetry t TIMESTAMP BY ts OVER deviceId CROSS APPLY GetRecordProperties(t.values) AS p WHERE GetType(p.PropertyValue) IN ('bigint', 'float') GROUP BY deviceId, p.PropertyName, TumblingWindow(minute, 1)
--- a union
SELECT a, b INTO o FROM i UNION SELECT c, d FROM j UNION ALL SELECT e, f FROM k WHERE e > 1
--- steps shared by several queries
WITH clean AS (SELECT deviceId, TRY_CAST(t AS float) AS t FROM sensors TIMESTAMP BY ts WHERE t IS NOT NULL),
minutes AS (SELECT deviceId, AVG(t) AS mean, System.Timestamp() AS at FROM clean GROUP BY deviceId, TumblingWindow(minute, 1))
SELECT * INTO archive FROM clean
SELECT deviceId, mean INTO alarms FROM minutes WHERE mean > 80
SELECT deviceId, MAX(mean) AS peak INTO hours FROM minutes GROUP BY deviceId, TumblingWindow(hour, 1)
--- typed inputs
CREATE TABLE sensors (deviceId nvarchar(max), t float, n bigint, ts datetime, ok bit, extra record, list array);
SELECT deviceId, t FROM sensors TIMESTAMP BY ts WHERE t > 5
--- a typed field may be an alias too
CREATE TABLE sensors (deviceId nvarchar(max), t float) SELECT LOWER(deviceId) AS deviceId, t + 1 AS t FROM sensors WHERE t > 5
--- an alias that is a field of a step
WITH s AS (SELECT a AS value, b FROM i) SELECT b AS value FROM s WHERE value > 3
--- semicolons and empty statements
;; SELECT a INTO x FROM i;; SELECT b INTO y FROM i;
--- an input called like an abbreviation
SELECT m.d, y FROM m WHERE m.d > 3 AND y IS NOT NULL
--- several outputs of one query
SELECT a INTO x, y FROM i
--- HAVING without GROUP BY is a condition on rows
SELECT a FROM i HAVING a > 5
--- a window with System.Timestamp() as a key
SELECT topic, COUNT(*) AS n FROM i GROUP BY topic, System.Timestamp(), Tumbling(hour, 2)
--- names in double quotes
SELECT "[my][Field]" AS f, "a""b" FROM i WHERE "select" > 1
--- the fields of a record as columns
SELECT id, payload.* FROM i
--- operators on bits
SELECT a & b | c ^ ~d, a !> b FROM i WHERE a !< 3
--- functions of the documentation
SELECT NULLIF(a, b), JSON_PARSE(s).x, LAST(a, 0) OVER (LIMIT DURATION(minute, 1)), ROUND(a, 2) FROM i
--- values of the top
SELECT TopOne(a) OVER (ORDER BY b), CollectTop(2, a + b) OVER (ORDER BY c) FROM i GROUP BY TumblingWindow(minute, 1)
--- text as an alias behind AS
SELECT a AS 'my name', b AS 'it''s' FROM i
--- the fields of a nested record as columns
SELECT i.id, i.location.*, a.b.c.* FROM i
--- a union of steps by their names
WITH x AS (SELECT * FROM a PARTITION BY id INTO 10), y AS (SELECT * FROM b PARTITION BY id INTO 10)
SELECT * INTO o FROM x PARTITION BY id UNION y PARTITION BY id
--- equal times as one window of several
SELECT System.Window().Id AS w, COUNT(*) AS n FROM i GROUP BY Windows(Window('a', Tumbling(hour, 1)), Window('b', System.Timestamp()))
--- equal times as one window without ids
SELECT COUNT(*) AS n FROM i GROUP BY k, Windows(System.Timestamp, Sliding(hour, 1))
--- an input called except
SELECT a FROM i except WHERE except.a > 1
--- PARTITION BY before TIMESTAMP BY
SELECT a, COUNT(*) AS n FROM i x PARTITION BY k TIMESTAMP BY t OVER k GROUP BY a, k, TumblingWindow(minute, 1)
