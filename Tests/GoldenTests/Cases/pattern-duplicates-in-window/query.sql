With Temp AS (
    SELECT COUNT(DISTINCT Time) AS CountTime, Value, DeviceId
    FROM Input TIMESTAMP BY Time GROUP BY Value, DeviceId, SYSTEM.TIMESTAMP()
)
SELECT AVG(Value) AS AverageValue, DeviceId INTO Output FROM Temp GROUP BY DeviceId,TumblingWindow(minute, 5)
