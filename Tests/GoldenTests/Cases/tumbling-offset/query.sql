SELECT System.Timestamp() AS e, COUNT(*) AS n INTO o FROM i TIMESTAMP BY t GROUP BY TumblingWindow(Duration(second, 10), Offset(millisecond, -1))
