import DeviceQueue
import Hummingbird
import Logging
import NIOCore
package import Platform
import ServiceLifecycle
import Telemetry

/// A running hub: listeners, queue, query and sinks over one data directory.
package final class Hub: Sendable {
    private let pipeline: Pipeline
    private let directory: DataDirectory
    private let http: ServiceGroup
    private let httpTask: Task<Void, any Error>
    private let startedNanoseconds: UInt64
    private let clock: any HubClock
    /// In the order of the configuration.
    package let listeners: [OpenListener]
    package let httpAddress: HostPort
    private let log: @Sendable (String) -> Void

    /// Recovers the data directory, opens the listeners, and returns when both take connections.
    ///
    /// - Parameters:
    ///   - log: gets one line for each thing an operator should know.
    /// - Throws: `HubError`, `QueueError`, `FileError` … each one line that says what and where.
    package static func start(
        _ configuration: HubConfiguration, files: any FileStore = PosixFileStore(),
        clock: any HubClock = SystemClock(), log: @escaping @Sendable (String) -> Void
    ) async throws -> Hub {
        let directory = try DataDirectory.open(
            configuration.dataDirectory, files: files, createIfMissing: true)
        for note in configuration.notes + configuration.accessNotes { log(note) }
        let started = clock.monotonicNanoseconds()
        let pipeline: Pipeline
        do {
            pipeline = try await Pipeline(configuration, files: files, clock: clock, log: log)
        } catch {
            directory.close()
            throw error
        }
        do {
            let service = HTTPService(
                pipeline: pipeline,
                startedNanoseconds: started, clock: clock)
            let (group, task, address) = try await serve(service, on: configuration.http)
            return Hub(
                pipeline: pipeline, directory: directory, http: group, httpTask: task, started: started,
                clock: clock, httpAddress: address, log: log)
        } catch {
            await pipeline.stop()
            directory.close()
            throw error
        }
    }

    private init(
        pipeline: Pipeline, directory: DataDirectory, http: ServiceGroup,
        httpTask: Task<Void, any Error>, started: UInt64, clock: any HubClock, httpAddress: HostPort,
        log: @escaping @Sendable (String) -> Void
    ) {
        self.pipeline = pipeline
        self.directory = directory
        self.http = http
        self.httpTask = httpTask
        startedNanoseconds = started
        self.clock = clock
        listeners = pipeline.open
        self.httpAddress = httpAddress
        self.log = log
    }

    /// Where MQTT is spoken over plain TCP; nil when there is no such listener.
    package var mqttAddress: HostPort? { listeners.first { $0.kind == .mqtt }?.address }

    /// Reads again what may change while the hub runs: the certificates of its listeners. A file that is of no use
    /// changes nothing; the log says which.
    package func reload() { for line in pipeline.reload() { log(line) } }

    package var status: HubStatus {
        HubStatus(
            pipeline, uptimeSeconds: Int((clock.monotonicNanoseconds() - startedNanoseconds) / 1_000_000_000))
    }

    /// Puts the users and the access rules of a configuration in force; running connections stay, and stay who they
    /// are. All else of it is left aside.
    package func replaceAccess(by configuration: HubConfiguration) async {
        await pipeline.replaceAccess(configuration.access)
    }

    /// Drains and closes; afterwards another process may open the data directory.
    package func stop() async {
        // Consumers that wait for records have their answer before the listener closes.
        pipeline.groups.interrupt()
        await http.triggerGracefulShutdown()
        _ = await httpTask.result
        await pipeline.stop()
        directory.close()
    }

    /// Starts the HTTP server and waits until it is bound.
    private static func serve(
        _ service: HTTPService, on address: HostPort
    ) async throws -> (ServiceGroup, Task<Void, any Error>, HostPort) {
        var logger = Logger(label: "headend.http")
        logger.logLevel = .error
        let (bound, announce) = AsyncStream.makeStream(of: Result<HostPort, HubError>.self)
        let application = Application(
            router: service.router(),
            configuration: .init(
                address: .hostname(address.host, port: address.port), serverName: "headend"),
            onServerRunning: { channel in
                announce.yield(
                    .success(HostPort(host: address.host, port: channel.localAddress?.port ?? address.port)))
            },
            logger: logger)
        var group = ServiceGroupConfiguration(services: [application], logger: logger)
        group.maximumGracefulShutdownDuration = .seconds(2)
        let services = ServiceGroup(configuration: group)
        let task = Task {
            do {
                try await services.run()
            } catch {
                let failure = error as? IOError
                announce.yield(
                    .failure(
                        HubError.bind(
                            "http", address, code: failure?.errnoCode ?? 0,
                            failure?.description ?? String(describing: error))))
                throw error
            }
        }
        for await result in bound {
            announce.finish()
            return (services, task, try result.get())
        }
        throw HubError("the HTTP server ended before it was bound")
    }
}
