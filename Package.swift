// swift-tools-version: 6.2
import PackageDescription

// Targets stand in the order the data flows; imports go downward only (see Tests/TidyTests).
let package = Package(
    name: "headend",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "headend", targets: ["headend"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-atomics", from: "1.3.0"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // The shared nouns and the door to the machine.
        .target(name: "CChecksum"),
        .target(name: "CPrefetch"),
        .target(name: "Telemetry", dependencies: [.product(name: "Crypto", package: "swift-crypto")]),
        .target(name: "CPlatform"),
        .target(name: "Platform", dependencies: ["CPlatform"]),

        .systemLibrary(name: "CEpoll", path: "Sources/MosquittoClient/CEpoll"),

        // The stages, in the order of the data.
        .target(name: "Transport", dependencies: ["CEpoll", "CPlatform", "Platform"]),
        .target(name: "MQTTWire"),
        .target(name: "MQTTBroker", dependencies: ["MQTTWire"]),
        .target(
            name: "Access",
            dependencies: [
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(
            name: "DeviceQueue",
            dependencies: ["CChecksum", "CZstd", "Telemetry", "Platform"]),
        .target(name: "BrokerJournal", dependencies: ["CChecksum", "Platform"]),
        .target(name: "ConsumerGroups", dependencies: ["CChecksum", "Telemetry", "Platform"]),
        .target(name: "QueryLanguage", dependencies: ["Telemetry"]),
        .systemLibrary(name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
        .target(
            name: "PerpetualQuery",
            dependencies: ["CChecksum", "CPCRE2", "CPrefetch", "QueryLanguage", "Telemetry"]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .target(
            name: "ReferenceFiles",
            dependencies: [
                "CSQLite", "PerpetualQuery", "Telemetry", "Platform",
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .systemLibrary(
            name: "CMosquitto", pkgConfig: "libmosquitto", providers: [.apt(["libmosquitto-dev"])]),
        .target(
            name: "MosquittoClient", dependencies: ["CMosquitto", "CEpoll", "Platform"], exclude: ["CEpoll"]),
        .target(
            name: "ResultSink", dependencies: ["CChecksum", "Telemetry", "Platform", "MosquittoClient"]),

        .target(name: "Bridge", dependencies: ["CChecksum", "MQTTWire", "Platform"]),

        // Queries for other engines.
        .target(name: "QueryExport", dependencies: ["QueryLanguage"]),

        // Queries over files, offline.
        .target(
            name: "QueryReplay",
            dependencies: [
                "CChecksum", "QueryLanguage", "PerpetualQuery", "ReferenceFiles", "ResultSink", "Telemetry",
                "Platform",
            ]),

        // The simulated devices, the load generator, and the proof.
        .target(
            name: "Fleet",
            dependencies: [
                "Telemetry", "Platform", "MosquittoClient", .product(name: "Yams", package: "Yams"),
            ]),
        .target(name: "Load", dependencies: ["CEpoll", "MQTTWire", "Platform"]),
        .target(name: "Verify", dependencies: ["Telemetry", "Platform"]),

        // Composition.
        .target(
            name: "Hub",
            dependencies: [
                "Telemetry", "Platform", "Transport", "MQTTWire", "MQTTBroker", "Access", "DeviceQueue",
                "BrokerJournal", "ConsumerGroups",
                "QueryLanguage", "PerpetualQuery", "ReferenceFiles", "ResultSink", "MosquittoClient",
                "Bridge",
                .product(name: "Atomics", package: "swift-atomics"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "Yams", package: "Yams"),
            ]),
        // The deterministic world that the hub is tortured in.
        .target(
            name: "SimulationKit",
            dependencies: [
                "Hub", "DeviceQueue", "PerpetualQuery", "ResultSink", "MQTTWire", "Telemetry", "Platform",
            ]),
        .executableTarget(
            name: "headend",
            dependencies: [
                "Hub", "SimulationKit", "Fleet", "Load", "Verify", "QueryLanguage", "PerpetualQuery",
                "QueryExport", "QueryReplay", "ReferenceFiles", "MQTTWire", "Access", "DeviceQueue",
                "Telemetry",
                "Platform", "MosquittoClient",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]),

        // Tests: the source itself, then each stage, then the real binary.
        .target(name: "FileStoreKit", dependencies: ["Platform"], path: "Tests/FileStoreKit"),
        .target(name: "ConformanceKit", path: "Tests/ConformanceKit", resources: [.copy("Vectors")]),
        .testTarget(name: "TidyTests"),
        .testTarget(name: "TelemetryTests", dependencies: ["Telemetry"]),
        .testTarget(name: "TransportTests", dependencies: ["Transport", "Platform"]),
        .testTarget(name: "MQTTWireTests", dependencies: ["MQTTWire"], resources: [.copy("Vectors")]),
        .testTarget(name: "MQTTBrokerTests", dependencies: ["MQTTBroker", "MQTTWire"]),
        .testTarget(name: "BrokerJournalTests", dependencies: ["BrokerJournal", "FileStoreKit", "Platform"]),
        .testTarget(
            name: "MQTTConformanceTests",
            dependencies: [
                "ConformanceKit", "Hub", "DeviceQueue", "MQTTBroker", "MQTTWire", "Platform", "Telemetry",
            ]),
        .testTarget(name: "AccessTests", dependencies: ["Access"]),
        .testTarget(
            name: "DeviceQueueTests",
            dependencies: [
                "DeviceQueue", "FileStoreKit", "PerpetualQuery", "CChecksum", "Telemetry", "Platform",
            ]),
        .testTarget(
            name: "ConsumerGroupsTests",
            dependencies: ["ConsumerGroups", "FileStoreKit", "Telemetry", "Platform"]),
        .testTarget(
            name: "QueryLanguageTests", dependencies: ["QueryLanguage", "Telemetry"],
            resources: [.copy("Queries")]),
        .testTarget(name: "QueryExportTests", dependencies: ["QueryExport", "QueryLanguage"]),
        .testTarget(name: "PerpetualQueryTests", dependencies: ["PerpetualQuery", "Telemetry"]),
        .testTarget(
            name: "GoldenTests",
            dependencies: [
                "FileStoreKit", "PerpetualQuery", "QueryLanguage", "QueryReplay", "ReferenceFiles",
                "Telemetry",
                "Platform",
            ],
            resources: [.copy("Cases")]),
        .testTarget(name: "MosquittoClientTests", dependencies: ["MosquittoClient", "Platform"]),
        .testTarget(
            name: "ResultSinkTests", dependencies: ["ResultSink", "PerpetualQuery", "Telemetry", "Platform"]),
        .testTarget(
            name: "DownstreamSinkTests", dependencies: ["ResultSink", "MosquittoClient", "Platform"]),
        .testTarget(
            name: "BridgeTests", dependencies: ["Bridge", "FileStoreKit", "MQTTWire", "Platform"]),
        .testTarget(
            name: "FleetTests", dependencies: ["Fleet", "Telemetry", "Platform", "MosquittoClient"]),
        .testTarget(name: "LoadTests", dependencies: ["Load", "MQTTWire", "Platform"]),
        .testTarget(name: "VerifyTests", dependencies: ["Verify", "Telemetry", "Platform"]),
        .testTarget(
            name: "HubTests",
            dependencies: [
                "Hub", "Access", "BrokerJournal", "DeviceQueue", "FileStoreKit", "MQTTBroker", "MQTTWire",
                "MosquittoClient", "PerpetualQuery", "Platform", "ReferenceFiles", "ResultSink", "Telemetry",
                .product(name: "Atomics", package: "swift-atomics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ]),
        .testTarget(name: "SimulationTests", dependencies: ["SimulationKit", "Platform"]),
        .testTarget(
            name: "ProcessTests",
            dependencies: [
                "headend", "ConformanceKit", "DeviceQueue", "MosquittoClient", "Telemetry", "Platform",
            ],
            resources: [.copy("Scripts")]),
    ]
)

for target in package.targets
where target.type != .system && !["CChecksum", "CPlatform", "CPrefetch"].contains(target.name) {
    target.swiftSettings = [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        .treatAllWarnings(as: .error),
    ]
}
