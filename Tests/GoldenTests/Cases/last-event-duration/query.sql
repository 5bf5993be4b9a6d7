SELECT [user], DATEDIFF(second, LAST(t) OVER (PARTITION BY [user] LIMIT DURATION(hour, 1) WHEN Event = 'start'), t) AS duration INTO o FROM i TIMESTAMP BY t WHERE Event = 'end'
