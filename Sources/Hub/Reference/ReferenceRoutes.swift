import Hummingbird
import ReferenceFiles
import Telemetry

/// `/api/v1/references/…`: the reference data over HTTP.
struct ReferenceRoutes: Sendable {
    typealias Context = BasicRequestContext

    let service: ReferenceService

    func add(to api: RouterGroup<Context>) {
        api.get("references") { _, _ in HTTPService.json(.array(service.statuses.map(\.value))) }
        api.get("references/{name}") { _, context in
            try await QueryRoutes.answer {
                let name = try context.parameters.require("name")
                guard
                    let status = service.statuses.first(where: {
                        $0.source.name.lowercased() == name.lowercased()
                    })
                else { throw service.unknown(name) }
                return HTTPService.json(status.value)
            }
        }
        api.post("references/{name}/reload") { _, context in
            try await QueryRoutes.answer {
                let name = try context.parameters.require("name")
                return HTTPService.json(try await service.reload(name).value)
            }
        }
    }
}
