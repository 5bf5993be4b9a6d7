-- fixed order
-- policy: drop
SELECT v INTO o FROM i TIMESTAMP BY t
