SELECT LicensePlate, Make, Time FROM Input TIMESTAMP BY Time WHERE IsFirst(minute, 10) OVER (PARTITION BY Make) = 1
