-- Each case: a line `--- name`, optionally `--@ reference name, …`, a line `--> line:column+length message` for each
-- error (then `| did you mean …`, if so), and the query, whose first line is line 1.
--- nothing at all
--> 1:1+1 there is no query here

--- only a comment
--> 1:11+1 there is no query here
-- nothing
--- no query behind the types
--> 1:26+1 there is no query here
CREATE TABLE i (a bigint)
--- a mistyped SELECT
--> 1:1+5 expected SELECT, WITH or CREATE TABLE, but found `SELCT` | did you mean SELECT
SELCT a FROM i
--- a mistyped FROM
--> 1:10+4 expected `,`, INTO or FROM, but found `FORM` | did you mean FROM
SELECT a FORM i
--- a mistyped FROM behind an alias
--> 1:15+4 expected `,`, INTO or FROM, but found `FRMO` | did you mean FROM
SELECT a AS b FRMO i
--- no FROM
--> 1:12+1 expected `,`, INTO or FROM, but the query ends here
SELECT a, b
--- a mistyped WHERE
--> 1:17+4 expected the end of the query or its next clause, but found `WHRE` | did you mean WHERE
SELECT a FROM i WHRE a > 5
--- a mistyped GROUP
--> 1:27+5 expected the end of the query or its next clause, but found `GRUOP` | did you mean GROUP
SELECT a, COUNT(*) FROM i GRUOP BY a, TumblingWindow(minute, 1)
--- GROUP without BY
--> 1:23+1 expected BY, but found `a`
SELECT a FROM i GROUP a
--- nothing selected
--> 1:8+4 nothing is selected
SELECT FROM i
--- a comma too many
--> 1:12+1 the SELECT list ends with a comma
SELECT a, b, FROM i
--- a comma too few
--> 1:12+1 expected `,`, INTO or FROM, but found `c`
SELECT a b c FROM i
--- a keyword as a name
--> 1:11+3 expected an expression, but found the keyword END
SELECT a, end FROM i
--- a keyword as an input
--> 1:15+5 expected the name of an input or step, but ORDER is a keyword
SELECT a FROM order
--- a keyword as an alias
--> 1:13+5 expected a name after AS, but ORDER is a keyword
SELECT a AS order FROM i
--- text as an alias without AS
--> 1:10+3 expected `,`, INTO or FROM, but found the text 'b'
SELECT a 'b' FROM i
--- text as an input
--> 1:15+3 expected the name of an input or step, but found the text 'i'
SELECT a FROM 'i'
--- INSERT
--> 1:1+6 there is no INSERT in a query
INSERT INTO o VALUES (1)
--- a name of two parts
--> 1:18+1 the name of an input has one part
SELECT a FROM dbo.i
--- TIMESTAMP without BY
--> 1:27+1 expected BY after TIMESTAMP, but found `t`
SELECT a FROM i TIMESTAMP t
--- APPLY alone
--> 1:17+5 APPLY needs CROSS or OUTER before it
SELECT a FROM i APPLY GetArrayElements(i.b) AS e
--- ROWS
--> 1:32+4 OVER has no ROWS
SELECT SUM(a) OVER (ORDER BY t ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM i
--- EXCEPT
--> 1:17+6 streams have no EXCEPT
SELECT a FROM i EXCEPT SELECT a FROM j
--- INTERSECT behind a condition
--> 1:29+9 streams have no INTERSECT
SELECT a FROM i WHERE a > 1 INTERSECT SELECT a FROM j
--- ESCAPE
--> 1:35+6 LIKE has no ESCAPE here
SELECT a FROM i WHERE a LIKE '5!' ESCAPE '!'
--- a UNION with a source and named columns
--> 1:23+1 expected SELECT after UNION, but found `j`
SELECT a FROM i UNION j
--- a type with two numbers
--> 1:18+13 there is no type decimal(5, 2) | did you mean float
SELECT CAST(a AS decimal(5, 2)) FROM i
--- a user function in brackets
--> 1:8+7 udf.f is not supported yet
SELECT udf.[f](a) FROM i
--- some windows with an id and some without
--> 1:80+8 either all windows of Windows(…) have an id or none
SELECT COUNT(*) AS n FROM i GROUP BY Windows(Window('a', Tumbling(minute, 1)), Tumbling(minute, 2))
--- a hyphen in a name
--> 1:17+1 expected the end of the query or its next clause, but found `-`
SELECT a FROM my-input
--- an open parenthesis
--> 1:15+4 expected an operator or `)`, but found `FROM`
SELECT (a + b FROM i
--- an open call
--> 1:14+4 expected `,` or `)`, but found `FROM`
SELECT LEN(a FROM i
--- the query ends too early
--> 1:26+1 expected an expression, but the query ends here
SELECT a FROM i WHERE a >
--- an operator too many
--> 1:27+1 expected an expression, but found `>`
SELECT a FROM i WHERE a > > 5
--- a chained comparison
--> 1:29+1 comparisons do not chain
SELECT a FROM i WHERE 1 < a < 5
--- NOT behind an operator
--> 1:27+3 NOT binds looser than the operator before it
SELECT a FROM i WHERE 1 + NOT a
--- two equal signs
--> 1:25+2 there is no operator `==` | did you mean =
SELECT a FROM i WHERE a == 5
--- the or of another language
--> 1:29+2 there is no operator `||` | did you mean OR
SELECT a FROM i WHERE a = 1 || b = 2
--- a stray character
--> 1:27+1 `?` has no meaning in a query
SELECT a FROM i WHERE a = ?
--- an open text
--> 2:18+1 this text is never closed
SELECT a
FROM i WHERE a = 'x
--- an open bracket
--> 1:8+1 this name is never closed
SELECT [a FROM i
--- an empty bracket
--> 1:8+1 a name in brackets is empty
SELECT [] FROM i
--- a closing bracket
--> 1:9+1 this ] closes no bracket
SELECT a] FROM i
--- an open comment
--> 1:10+2 this comment is never closed
SELECT a /* and so on
FROM i
--- a name that begins with a digit
--> 1:8+3 this is neither a number nor a name
SELECT 1st FROM i
--- a number too large
--> 1:8+19 this number is too large for a bigint
SELECT 9223372036854775808 FROM i
--- a float too large
--> 1:8+5 this number is too large for a float
SELECT 1e999 FROM i
--- IN without parentheses
--> 1:28+1 expected `(` and the list of IN, but found `1`
SELECT a FROM i WHERE a IN 1, 2
--- a query in IN
--> 1:29+6 a query inside an expression is not part of the language
SELECT a FROM i WHERE a IN (SELECT b FROM j)
--- a query as a source
--> 1:15+1 a source in parentheses is not part of the language
SELECT a FROM (SELECT b FROM j) x
--- EXISTS
--> 1:23+6 EXISTS is not part of the language
SELECT a FROM i WHERE EXISTS (SELECT b FROM j)
--- IS without NULL
--> 1:28+1 expected NULL or NOT NULL, but found `5`
SELECT a FROM i WHERE a IS 5
--- BETWEEN without AND
--> 1:35+2 expected AND and the upper bound of BETWEEN, but found `OR`
SELECT a FROM i WHERE a BETWEEN 1 OR 2
--- CASE without END
--> 1:31+4 expected WHEN, ELSE or END, but found `FROM`
SELECT CASE WHEN a = 1 THEN 2 FROM i
--- CASE without WHEN
--> 1:15+3 expected WHEN, but found `END`
SELECT CASE a END FROM i
--- CASE without THEN
--> 1:24+1 expected THEN, but found `2`
SELECT CASE WHEN a = 1 2 END FROM i
--- CAST without AS
--> 1:14+1 expected AS and a data type, but found `,`
SELECT CAST(a, bigint) FROM i
--- CAST to a type of another dialect
--> 1:18+3 there is no type int | did you mean bigint
SELECT CAST(a AS int) FROM i
--- text with a length
--> 1:18+12 there is no type nvarchar(50) | did you mean nvarchar(max)
SELECT CAST(a AS nvarchar(50)) FROM i
--- a column with a length
--> 1:19+11 there is no type varchar(10) | did you mean nvarchar(max)
CREATE TABLE i (a varchar(10), b bigint) SELECT a FROM i
--- a type with two lengths
--> 2:30+14 there is no type decimal(10, 2) | did you mean float
SELECT
CAST(a AS bigint), CAST(a AS decimal(10, 2)) FROM i
--- a type of the language with a length
--> 1:19+9 there is no type float(53) | did you mean float
CREATE TABLE i (a float(53)) SELECT a FROM i
--- a mistyped type
--> 1:18+7 there is no type dateime | did you mean datetime
SELECT CAST(a AS dateime) FROM i
--- an unknown type of a column
--> 1:29+4 there is no type uuid
CREATE TABLE i (a bigint, b uuid) SELECT a FROM i
--- a column declared twice
--> 1:27+1 the column A is declared twice
CREATE TABLE i (a bigint, A float) SELECT a FROM i
--- an unknown function
--> 1:8+4 there is no function AVRG | did you mean AVG
SELECT AVRG(a) FROM i GROUP BY TumblingWindow(minute, 1)
--- a function of another dialect
--> 1:8+6 there is no function ISNULL | did you mean COALESCE
SELECT ISNULL(a, 0) FROM i
--- a function like no other
--> 1:8+10 there is no function FROBNICATE
SELECT FROBNICATE(a) FROM i
--- too few arguments
--> 1:8+9 SUBSTRING takes 3 arguments, not 2
SELECT SUBSTRING(a, 1) FROM i
--- too many arguments
--> 1:8+8 COALESCE takes at least 1 argument, not 0
SELECT COALESCE(), LEN(a, b) FROM i
--- a star where none can stand
--> 1:12+1 expected an expression, but found `*`
SELECT SUM(*) FROM i GROUP BY TumblingWindow(minute, 1)
--- DISTINCT where none can stand
--> 1:12+8 SUM takes no DISTINCT
SELECT SUM(DISTINCT a) FROM i GROUP BY TumblingWindow(minute, 1)
--- SELECT DISTINCT
--> 1:8+8 a stream has no SELECT DISTINCT
SELECT DISTINCT a FROM i
--- SELECT TOP
--> 1:8+3 a stream has no SELECT TOP
SELECT TOP 5 a FROM i
--- ORDER BY
--> 1:17+5 a stream has no ORDER BY: results come in the order of time
SELECT a FROM i ORDER BY a
--- LIMIT
--> 1:17+5 a stream has no LIMIT: it does not end
SELECT a FROM i LIMIT 5
--- a unit in quotes
--> 1:16+6 the text 'hour' is no unit of time | did you mean hour
SELECT DATEADD('hour', 1, t) FROM i
--- a mistyped unit
--> 1:17+6 `minuet` is no unit of time | did you mean minute
SELECT DATEDIFF(minuet, a, b) FROM i
--- months as a window
--> 1:48+5 a window cannot be measured in `month`
SELECT COUNT(*) FROM i GROUP BY TumblingWindow(month, 1)
--- m is month
--> 1:48+1 a window cannot be measured in `m` | did you mean minute
SELECT COUNT(*) FROM i GROUP BY TumblingWindow(m, 1)
--- a window of no length
--> 1:56+1 this must be more than 0
SELECT COUNT(*) FROM i GROUP BY TumblingWindow(minute, 0)
--- a window of negative length
--> 1:56+2 this must be more than 0
SELECT COUNT(*) FROM i GROUP BY TumblingWindow(minute, -5)
--- a window as long as a field says
--> 1:56+4 expected a constant number of minutes, but found `size`
SELECT COUNT(*) FROM i GROUP BY TumblingWindow(minute, size)
--- a hopping window without hop
--> 1:33+13 a hopping window has a size and a hop
SELECT COUNT(*) FROM i GROUP BY HoppingWindow(minute, 5)
--- a hopping window with half of the long form
--> 1:68+1 expected Hop(unit, number), but found `1`
SELECT COUNT(*) FROM i GROUP BY HoppingWindow(Duration(minute, 5), 1)
--- a session without maximum
--> 1:33+13 a session window has a timeout and a longest duration
SELECT COUNT(*) FROM i GROUP BY SessionWindow(minute, 5)
--- a sliding window with too much
--> 1:33+13 SlidingWindow has too many arguments
SELECT COUNT(*) FROM i GROUP BY SlidingWindow(minute, 5, 1)
--- OVER behind another window
--> 1:59+4 only a session window takes OVER
SELECT COUNT(*) FROM i GROUP BY TumblingWindow(minute, 5) OVER (PARTITION BY a)
--- a window in SELECT
--> 1:8+14 a window stands in GROUP BY only
SELECT TumblingWindow(minute, 5) FROM i
--- two windows with one id
--> 1:88+3 two windows have the id 'A'
SELECT COUNT(*) FROM i GROUP BY Windows(Window('a', TumblingWindow(minute, 5)), Window('A', TumblingWindow(minute, 6)))
--- windows in windows
--> 1:41+7 Windows(…) cannot stand inside Windows(…)
SELECT COUNT(*) FROM i GROUP BY Windows(Windows(TumblingWindow(minute, 5)))
--- a mistyped window inside
--> 1:41+13 expected a window, but found `TumblinWindow` | did you mean TumblingWindow
SELECT COUNT(*) FROM i GROUP BY Windows(TumblinWindow(minute, 5))
--- LAG without a limit
--> 1:8+3 LAG needs to know how far to look back
SELECT LAG(a) FROM i
--- LAST without a limit
--> 1:8+4 LAST needs to know how far to look back
SELECT LAST(a) OVER (PARTITION BY b) FROM i
--- an aggregate OVER without a limit
--> 1:15+4 SUM OVER needs to know how far to look back
SELECT SUM(a) OVER (PARTITION BY b) FROM i
--- TopOne without an order
--> 1:8+6 TopOne needs an order
SELECT TopOne() FROM i GROUP BY TumblingWindow(minute, 1)
--- OVER behind a scalar
--> 1:15+4 LEN takes no OVER
SELECT LEN(a) OVER (PARTITION BY b) FROM i
--- a clause that OVER has not
--> 1:21+4 OVER has no ROWS
SELECT LAG(a) OVER (ROWS 5) FROM i
--- APPLY of a scalar
--> 1:29+6 APPLY takes a function that returns rows
SELECT a FROM i CROSS APPLY LEN(x) AS y
--- APPLY without alias
--> 1:48+1 expected a name for the rows of GetArrayElements, but the query ends here
SELECT a FROM i CROSS APPLY GetArrayElements(x)
--- CROSS of nothing
--> 1:23+1 expected APPLY or JOIN, but found `j`
SELECT a FROM i CROSS j
--- two sources with a comma
--> 1:16+1 FROM takes one source
SELECT a FROM i, j
--- RIGHT JOIN
--> 1:17+5 there is no RIGHT JOIN on streams
SELECT a FROM i RIGHT JOIN j ON a = b
--- JOIN without ON
--> 1:24+5 expected ON and the join's condition, but found `WHERE`
SELECT a FROM i JOIN j WHERE a = b
--- WITH in the middle
--> 1:24+4 WITH stands once, before the first SELECT
SELECT a INTO x FROM i WITH s AS (SELECT b FROM j) SELECT b INTO y FROM s
--- a step twice
--> 1:30+1 there are two steps with the name S
WITH s AS (SELECT a FROM i), S AS (SELECT b FROM i) SELECT a FROM s
--- a step with INTO
--> 1:21+4 a step of WITH has no INTO
WITH s AS (SELECT a INTO o FROM i) SELECT a FROM s
--- steps without a query
--> 1:28+1 expected SELECT after the steps of WITH, but the query ends here
WITH s AS (SELECT a FROM i)
--- an open step
--> 1:27+1 a `)` is missing here, to close the step s
WITH s AS (SELECT a FROM i
--- INTO behind UNION
--> 1:39+4 INTO stands in the first SELECT of a UNION
SELECT a INTO x FROM i UNION SELECT b INTO y FROM j
--- clauses in the wrong order
--> 1:55+5 WHERE stands in the wrong place or twice
SELECT a FROM i GROUP BY a, TumblingWindow(minute, 1) WHERE a > 1
--- INTO behind FROM
--> 1:17+4 INTO stands in the wrong place or twice
SELECT a FROM i INTO x
--- pattern matching
--> 1:39+15 MATCH_RECOGNIZE is not supported yet
SELECT * FROM i TIMESTAMP BY t OVER k MATCH_RECOGNIZE (LIMIT DURATION(minute, 1) PATTERN (A B))
--- anomaly detection
--> 1:8+28 AnomalyDetection_SpikeAndDip is not supported yet
SELECT AnomalyDetection_SpikeAndDip(a, 95, 120, 'spikes') OVER (LIMIT DURATION(second, 120)) FROM i
--- geography to come
--> 1:8+11 ST_OVERLAPS is not supported yet
SELECT ST_OVERLAPS(a, b), CreatePolygon(a, b, c) FROM i
--- a user function
--> 1:8+7 udf.hex is not supported yet
SELECT udf.hex(a) FROM i
--- EMIT
--> 1:59+4 EMIT is not supported yet
SELECT COUNT(*) FROM i GROUP BY TumblingWindow(minute, 1) EMIT EVERY 10
--- two errors in two statements
--> 1:8+4 there is no function AVRG | did you mean AVG
--> 2:32+2 there is no operator `==` | did you mean =
SELECT AVRG(a) INTO x FROM i;
SELECT b INTO y FROM i WHERE b ==== 3
--- three statements, the first and the last in error
--> 1:12+1 expected `,`, INTO or FROM, but found `c`
--> 3:8+3 LAG needs to know how far to look back
SELECT a b c INTO x FROM i
SELECT b INTO y FROM i
SELECT LAG(b) INTO z FROM i
--- an element behind a constant
--> 1:11+3 expected an operator or the end of the expression, but found [0]
SELECT 'x'[0] FROM i
--- a star inside a path
--> 1:13+2 `.*` stands only behind the name of an input
SELECT LEN(a.*) FROM i
--- an aggregate without a window
--> 1:18+5 COUNT needs a window in GROUP BY: the stream never ends
SELECT deviceId, COUNT(*) AS n FROM i GROUP BY deviceId
--- an aggregate without GROUP BY
--> 1:8+3 MAX needs a window in GROUP BY: the stream never ends
SELECT MAX(a) FROM i
--- GROUP BY without a window
--> 1:29+4 GROUP BY needs a window: the stream never ends
SELECT site FROM i GROUP BY site
--- an aggregate in WHERE
--> 1:33+5 COUNT cannot stand in WHERE: it needs the whole group
SELECT a, COUNT(*) FROM i WHERE COUNT(*) > 5 GROUP BY a, TumblingWindow(minute, 1)
--- an aggregate in GROUP BY
--> 1:33+3 MAX cannot stand here: the group is not known yet
SELECT COUNT(*) FROM i GROUP BY MAX(a), TumblingWindow(minute, 1)
--- an aggregate inside an aggregate
--> 1:12+5 COUNT stands inside MAX
SELECT MAX(COUNT(*)) FROM i GROUP BY TumblingWindow(minute, 1)
--- two windows
--> 1:60+13 GROUP BY has two windows
SELECT COUNT(*) FROM i GROUP BY TumblingWindow(minute, 1), HoppingWindow(minute, 10, 5)
--- a window over 7 days
--> 1:48+6 this window is longer than 7 days
SELECT COUNT(*) FROM i GROUP BY TumblingWindow(day, 8)
--- a session over 7 days
--> 1:56+3 this session is longer than 7 days
SELECT COUNT(*) FROM i GROUP BY SessionWindow(hour, 1, 169)
--- a window over 7 days among others
--> 1:104+7 this window is longer than 7 days
SELECT COUNT(*) FROM i GROUP BY Windows(Window('a', TumblingWindow(day, 1)), Window('b', HoppingWindow(day, 14, 1)))
--- an event in too many windows
--> 1:69+14 each event would be in 604800000 windows: more than 10000
SELECT COUNT(*) FROM i GROUP BY HoppingWindow(Duration(day, 7), Hop(millisecond, 1))
--- windows of too many parts
--> 1:67+5 with this hop a window is made of 10001 parts, which the size and the hop are both multiples of: more than 10000
SELECT COUNT(*) FROM i GROUP BY HoppingWindow(millisecond, 10001, 10000)
--- too many parts together
--> 1:165+1 the windows up to here are made of 10500 parts: more than 10000
SELECT COUNT(*) FROM i GROUP BY Windows(Window('a', TumblingWindow(day, 1)), Window('b', HoppingWindow(second, 10000, 10)), Window('c', HoppingWindow(second, 9500, 1)))
--- a join of streams without bound
--> 1:21+4 this JOIN of streams has no bound in time
SELECT a.x FROM l a JOIN r b ON a.k = b.k
--- a bound in one direction
--> 1:47+26 this bound in time is open on one side
SELECT a.x FROM l a JOIN r b ON a.k = b.k AND DATEDIFF(second, a, b) < 5
--- a bound between columns
--> 1:33+42 inside ON, DATEDIFF takes the names of the two inputs
SELECT a.x FROM l a JOIN r b ON DATEDIFF(second, a.t, b.t) BETWEEN 0 AND 5
--- a bound that may be missed
--> 1:21+4 this JOIN of streams has no bound in time
SELECT a.x FROM l a JOIN r b ON a.k = b.k OR DATEDIFF(second, a, b) BETWEEN 0 AND 5
--- a bound over 7 days
--> 1:33+35 this JOIN reaches further than 7 days
SELECT a.x FROM l a JOIN r b ON DATEDIFF(day, a, b) BETWEEN 0 AND 8
--- the second join without bound
--> 1:84+38 inside ON, DATEDIFF takes the names of the two inputs
SELECT a.x FROM l a JOIN r b ON DATEDIFF(minute, a, b) BETWEEN 0 AND 5 JOIN q c ON DATEDIFF(minute, a, b) BETWEEN 0 AND 5
--- CROSS JOIN of a stream
--> 1:27+4 CROSS JOIN is for reference data, and r is a stream
SELECT a.x FROM l a CROSS JOIN r b
--- an alias in WHERE
--> 1:58+10 fahrenheit is an alias of this SELECT: WHERE does not see it
SELECT temperature * 1.8 + 32 AS fahrenheit FROM i WHERE fahrenheit > 100
--- an alias in GROUP BY
--> 1:60+5 place is an alias of this SELECT: GROUP BY does not see it
SELECT LOWER(site) AS place, COUNT(*) AS n FROM i GROUP BY place, TumblingWindow(minute, 1)
--- the OVER key is not grouped
--> 1:49+8 deviceId of TIMESTAMP BY … OVER is missing from GROUP BY
SELECT COUNT(*) AS n FROM i TIMESTAMP BY t OVER deviceId GROUP BY TumblingWindow(minute, 1)
--- one of two OVER keys is not grouped
--> 1:63+8 deviceId of TIMESTAMP BY … OVER is missing from GROUP BY
SELECT site, COUNT(*) AS n FROM i TIMESTAMP BY t OVER i.site, deviceId GROUP BY site, TumblingWindow(minute, 1)
--- a column that is not grouped
--> 1:18+4 site is neither in GROUP BY nor inside an aggregate
SELECT deviceId, site, AVG(t) FROM i GROUP BY deviceId, TumblingWindow(minute, 1)
--- a star that is not grouped
--> 1:8+1 `*` cannot be grouped
SELECT *, COUNT(*) FROM i GROUP BY TumblingWindow(minute, 1)
--- the star of an unknown source
--> 1:8+6 there is no source sensor in this SELECT | did you mean sensors
SELECT sensor.* FROM sensors
--- two sources with one name
--> 1:24+1 two sources are called i
SELECT i.a FROM i JOIN i ON DATEDIFF(second, i, i) BETWEEN 0 AND 5
--- several errors of meaning
--> 1:14+3 MAX needs a window in GROUP BY: the stream never ends
--> 2:55+7 this window is longer than 7 days
SELECT site, MAX(a) INTO x FROM i GROUP BY site
SELECT COUNT(*) INTO y FROM i GROUP BY TumblingWindow(day, 30)
--- behind a stray parenthesis no start of a statement is certain
--> 1:9+1 expected `,`, INTO or FROM, but found `)`
SELECT a) FROM i SELECT AVRG(b) FROM j
