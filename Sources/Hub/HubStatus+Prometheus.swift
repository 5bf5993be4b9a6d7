import DeviceQueue

extension HubStatus {
    /// The counters in Prometheus' text format 0.0.4.
    var prometheusText: String {
        var text = ""
        func metric(_ name: String, _ kind: String, _ help: String, _ samples: [(labels: String, value: Int)])
        {
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
            for sample in samples { text += "\(name)\(sample.labels) \(sample.value)\n" }
        }
        func reasons(_ counts: [(reason: String, count: Int)]) -> [(labels: String, value: Int)] {
            counts.map { ("{reason=\"\($0.reason)\"}", $0.count) }
        }
        metric("headend_ingest_received_total", "counter", "Telemetry publishes taken in.", [("", received)])
        metric("headend_queue_stored_total", "counter", "Records stored in device queues.", [("", stored)])
        metric(
            "headend_queue_duplicate_total", "counter", "Publishes caught by their message id.",
            [("", duplicate)])
        metric(
            "headend_ingest_rejected_total", "counter", "Publishes refused since the start, by reason.",
            reasons(rejected))
        metric(
            "headend_queue_quarantined_total", "counter", "Publishes set aside, by reason.",
            reasons(setAside))
        metric(
            "headend_queue_quarantine_waiting", "gauge", "Messages that wait in the quarantine, by reason.",
            reasons(quarantined))
        metric(
            "headend_queue_replayed_total", "counter",
            "Quarantined messages that a replay settled, by outcome.",
            [
                ("{outcome=\"stored\"}", replayedStored), ("{outcome=\"duplicate\"}", replayedDuplicate),
            ])
        metric("headend_queue_commits_total", "counter", "Group commits synced to disk.", [("", commits)])
        metric(
            "headend_queue_durable_bytes", "gauge", "Length of the durable log.", [("", Int(durableBytes))])
        metric(
            "headend_queue_log_bytes", "gauge", "Bytes of the segments that are there.",
            [("", Int(log.logBytes))])
        metric("headend_queue_log_segments", "gauge", "Segments that are there.", [("", log.segments)])
        metric(
            "headend_queue_removed_total", "counter", "Records that retention removed.",
            [("", Int(log.removedRecords))])
        metric(
            "headend_queue_quarantine_removed_total", "counter",
            "Quarantined messages that retention removed, by whether they still waited.",
            [
                ("{state=\"waiting\"}", quarantineRemoved),
                ("{state=\"replayed\"}", max(0, Int(log.removedQuarantined) - quarantineRemoved)),
            ])
        metric(
            "headend_queue_removed_bytes_total", "counter", "Bytes of the log that retention removed.",
            [("", Int(log.removedBytes))])
        metric(
            "headend_queue_upkeep_failures", "gauge",
            "Threads behind the log (segments and retention, compression) whose last work failed.",
            [("", upkeepFailures.count)])
        metric(
            "headend_queue_held_bytes", "gauge", "Bytes that retention would remove but for a consumer.",
            [("", Int(log.heldBytes))])
        metric(
            "headend_queue_forgotten_ids_total", "counter",
            "Message ids forgotten before their time for want of memory.", [("", forgottenEarly)])
        metric(
            "headend_queue_unread_duplicates_total", "counter",
            "Duplicates decided by a hash alone: the stored record does not read back.", [("", decidedByHash)]
        )
        metric("headend_queue_devices", "gauge", "Devices that have a queue.", [("", devices)])
        metric("headend_mqtt_connections", "gauge", "Open connections.", [("", connections)])
        metric("headend_mqtt_subscriptions", "gauge", "Subscriptions held.", [("", subscriptions)])
        metric(
            "headend_mqtt_refused_total", "counter",
            "Connections ended for what the peer sent, by reason code.",
            reasons(refusals))
        metric(
            "headend_mqtt_turned_away_total", "counter", "Connections above the limit.",
            [("", connectionsTurnedAway)])
        metric(
            "headend_mqtt_handshakes_failed_total", "counter",
            "Connections over TLS or WebSocket that never got ready, by reason.", reasons(handshakes))
        metric(
            "headend_mqtt_accept_pauses_total", "counter",
            "Times the system had no descriptor for another connection.", [("", acceptPauses)])
        metric(
            "headend_mqtt_denied_total", "counter", "What clients had no right to, and were not let in for.",
            denied.map { ("{of=\"\($0.name)\"}", $0.count) })
        metric(
            "headend_mqtt_limited_total", "counter",
            "Connections closed at the door, and waits of clients above their rate.",
            limited.map { ("{of=\"\($0.name)\"}", $0.count) })
        metric(
            "headend_mqtt_keepalive_timeouts_total", "counter", "Connections that went silent.",
            [("", keepAliveTimeouts)])
        metric(
            "headend_mqtt_dropped_total", "counter", "Messages that slow or absent subscribers did not get.",
            [("", droppedForSubscribers)])
        metric("headend_mqtt_reads_held", "gauge", "Connections that are not read now.", [("", readsHeld)])
        metric(
            "headend_ingest_pauses_total", "counter", "Times that publishers waited for the storage.",
            [("", pauses)])
        metric(
            "headend_ingest_staged_bytes", "gauge", "Bytes taken in and not yet durable.", [("", stagedBytes)]
        )
        metric(
            "headend_mqtt_partial_bytes", "gauge", "Bytes of packets whose rest has not come yet.",
            [("", partialBytes)])
        metric(
            "headend_mqtt_partial_refused_total", "counter",
            "Connections closed for too many bytes of unfinished packets.", [("", partialsRefused)])
        metric(
            "headend_queue_qos2_clients", "gauge", "Clients whose QoS 2 state is in the log.",
            [("", qos2Clients)])
        metric(
            "headend_queue_qos2_unlogged_total", "counter",
            "QoS 2 messages above the limit of clients: a kill may store them twice.", [("", unloggedQoS2)])
        metric(
            "headend_mqtt_broker", "gauge", "What the broker holds, and what it dropped or refused.",
            broker.map { ("{of=\"\($0.name)\"}", $0.count) })
        for (name, help, value) in [
            ("offered", "Rows offered to a sink.", \SinkStatus.offered),
            ("delivered", "Rows delivered by a sink.", \SinkStatus.delivered),
            ("diverted", "Rows a sink diverted.", \SinkStatus.diverted),
        ] {
            metric(
                "headend_sink_\(name)_total", "counter", help,
                sinks.map { ("{sink=\"\($0.name)\"}", $0[keyPath: value]) })
        }
        metric(
            "headend_sink_outbox_rows", "gauge", "Rows that wait for a sink.",
            sinks.map { ("{sink=\"\($0.name)\"}", $0.outbox) })
        for (name, kind, help, value) in BridgeStatus.metrics {
            metric(
                "headend_bridge_\(name)", kind, help,
                upstreams.map { ("{upstream=\"\($0.name)\"}", value($0)) })
        }
        metric("headend_uptime_seconds", "gauge", "Seconds since the start.", [("", uptimeSeconds)])
        return text
    }
}
