SELECT COUNT(*) AS n, MAX(v) AS m, System.Timestamp() AS e INTO o FROM i TIMESTAMP BY t GROUP BY Sliding(Duration(second, 5))
