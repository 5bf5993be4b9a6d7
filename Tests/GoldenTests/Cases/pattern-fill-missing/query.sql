SELECT System.Timestamp() AS windowEnd, TopOne() OVER (ORDER BY t DESC) AS lastEvent
    FROM input TIMESTAMP BY t GROUP BY HOPPINGWINDOW(second, 300, 5) HAVING System.Timestamp() < '2014-01-01T06:01:50Z' 
