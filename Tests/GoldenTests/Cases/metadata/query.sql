-- arrival: a
SELECT GetMetadataPropertyValue(i, 'IoTHub.EnqueuedTime') AS q, i.IoTHub.EnqueuedTime AS r, IoTHub.MessageId AS m, v INTO o FROM i
