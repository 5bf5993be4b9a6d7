-- fails: division_by_zero
SELECT 1 / a AS x INTO o FROM i TIMESTAMP BY t
