-- fixed order
SELECT d, v, LAG(v) OVER (LIMIT DURATION(minute, 1)) AS p INTO o FROM i TIMESTAMP BY t OVER d
