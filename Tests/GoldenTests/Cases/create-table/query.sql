CREATE TABLE i (t datetime, k nvarchar(max), v float, n bigint);
SELECT GetType(t) AS a, k, v, n INTO o FROM i TIMESTAMP BY t
