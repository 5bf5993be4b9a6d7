/// Topics that only the hub publishes to: `$SYS/…`. MQTT 5.0 §4.7.2.
package enum SystemTopicName {
    package static func contains(_ topic: UnsafeRawBufferPointer) -> Bool {
        prefix.withUTF8Buffer { topic.starts(with: $0) }
    }

    static func contains(_ topic: String) -> Bool {
        prefix.withUTF8Buffer { topic.utf8.starts(with: $0) }
    }

    private static let prefix: StaticString = "$SYS/"
}
