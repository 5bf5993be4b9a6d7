    SELECT * INTO ArchiveOutput FROM Input TIMESTAMP BY Time

    SELECT Make, System.TimeStamp() AS AsaTime, COUNT(*) AS [Count] INTO AlertOutput
    FROM Input TIMESTAMP BY Time GROUP BY Make, TumblingWindow(second, 10) HAVING [Count] >= 3
