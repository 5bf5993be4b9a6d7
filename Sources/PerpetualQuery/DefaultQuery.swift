import QueryLanguage

/// The query that ships with the product: one row per device, numeric field and minute of event time.
package enum DefaultQuery {
    package static let name = "minute"
    package static let version = 1

    package static let text = """
        SELECT IoTHub.ConnectionDeviceId AS device, field.PropertyName AS field,
               DATEADD(minute, -1, System.Timestamp()) AS windowStart, System.Timestamp() AS windowEnd,
               COUNT(*) AS count, MIN(field.PropertyValue) AS min, MAX(field.PropertyValue) AS max,
               AVG(field.PropertyValue) AS avg, SUM(field.PropertyValue) AS sum
        INTO minute
        FROM telemetry TIMESTAMP BY IoTHub.EventTime OVER IoTHub.ConnectionDeviceId
        CROSS APPLY GetRecordProperties(telemetry) AS field
        WHERE GetType(field.PropertyValue) IN ('bigint', 'float')
          AND field.PropertyName NOT IN ('messageId', 'id', 'ts', 'timestamp', 'deviceId', 'device')
        GROUP BY IoTHub.ConnectionDeviceId, field.PropertyName, TumblingWindow(minute, 1)
        """

    /// Late 60 s, out of order 60 s, divert: never the wrong window.
    package static var settings: StreamSettings {
        var settings = StreamSettings()
        settings.timePolicy = TimePolicy()
        settings.errorPolicy = .divert
        return settings
    }

    /// The text, planned.
    ///
    /// - Throws: never, as tests see to; a plan is no reason to trap all the same.
    package static func plan(settings: StreamSettings = settings) throws(QueryFailure) -> StreamPlan {
        let (plan, errors) = QueryPlanner.plan(
            text: text, name: name, version: version, settings: settings)
        guard let plan else {
            throw QueryFailure(text: errors.map { $0.render(source: text, name: name) }.joined())
        }
        return plan
    }
}
