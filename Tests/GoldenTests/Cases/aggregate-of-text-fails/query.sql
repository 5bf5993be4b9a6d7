-- fails: wrong_operand
SELECT MAX(s) AS hi INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(second, 10)
