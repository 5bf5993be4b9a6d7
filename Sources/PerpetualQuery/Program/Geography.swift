import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Points and polygons as GeoJSON records (RFC 7946): longitude first, on the WGS 84 ellipsoid.
enum Geography {
    struct Point {
        var longitude: Double
        var latitude: Double
    }

    static func call(
        _ function: ScalarFunction, _ arguments: Arguments, _ context: FunctionContext
    ) -> Datum {
        switch function {
        case .createPoint:
            guard let latitude = arguments[0].number, let longitude = arguments[1].number,
                abs(latitude) <= 90, abs(longitude) <= 180
            else { return context.fail(.argument) }
            var bytes = Array("{\"type\":\"Point\",\"coordinates\":[".utf8)
            JSONText.append(longitude, to: &bytes)
            bytes.append(0x2C)
            JSONText.append(latitude, to: &bytes)
            bytes.append(contentsOf: "]}".utf8)
            return Datum(.record, context.arena.copy(bytes))
        case .distance:
            guard let from = point(arguments[0], context.arena), let to = point(arguments[1], context.arena)
            else {
                return arguments[0].kind == .record && arguments[1].kind == .record
                    ? Datum(0.0) : context.fail(.argument)
            }
            return Datum(distance(from, to))
        case .within:
            let rings = rings(arguments[1], context.arena)
            guard !rings.isEmpty else { return context.fail(.argument) }
            if let inner = point(arguments[0], context.arena) {
                return Datum(Int64(contains(rings, inner) ? 1 : 0))
            }
            let others = Self.rings(arguments[0], context.arena)
            guard let outline = others.first else { return context.fail(.argument) }
            return Datum(Int64(outline.allSatisfy { contains(rings, $0) } ? 1 : 0))
        default: return context.fail(.argument)
        }
    }

    private static func text(_ value: StaticString) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount)
    }

    private static func isType(_ record: Datum, _ type: StaticString, _ arena: ByteArena) -> Bool {
        let found = RecordFunctions.field(text("type"), of: record, arena)
        return found.kind == .text && FieldMatch.isSimilar(found.bytes, text(type))
    }

    private static func position(_ array: Datum, _ arena: ByteArena) -> Point? {
        guard let longitude = RecordFunctions.element(Datum(Int64(0)), of: array, arena).number,
            let latitude = RecordFunctions.element(Datum(Int64(1)), of: array, arena).number
        else { return nil }
        return Point(longitude: longitude, latitude: latitude)
    }

    static func point(_ record: Datum, _ arena: ByteArena) -> Point? {
        guard isType(record, "Point", arena) else { return nil }
        return position(RecordFunctions.field(text("coordinates"), of: record, arena), arena)
    }

    /// The rings of a polygon, the outer one first; empty when it is none.
    private static func rings(_ record: Datum, _ arena: ByteArena) -> [[Point]] {
        guard isType(record, "Polygon", arena) else { return [] }
        let coordinates = RecordFunctions.field(text("coordinates"), of: record, arena)
        var rings: [[Point]] = []
        guard coordinates.kind == .array else { return [] }
        _ = JSONFieldScanner.forEachElement(coordinates.bytes) { _, scalar in
            var ring: [Point] = []
            let array = RecordFunctions.datum(scalar, arena)
            guard array.kind == .array else { return true }
            _ = JSONFieldScanner.forEachElement(array.bytes) { _, corner in
                if let point = position(RecordFunctions.datum(corner, arena), arena) { ring.append(point) }
                return true
            }
            rings.append(ring)
            return true
        }
        return rings
    }

    /// Inside the outer ring and in no hole; the outline itself counts as inside.
    private static func contains(_ rings: [[Point]], _ point: Point) -> Bool {
        for (index, ring) in rings.enumerated() {
            let place = place(of: point, in: ring)
            if index == 0 ? place < 0 : place > 0 { return false }
        }
        return true
    }

    /// 1 inside, 0 on the outline, −1 outside (even-odd rule).
    private static func place(of point: Point, in ring: [Point]) -> Int {
        var isInside = false
        var previous = ring.last ?? point
        for corner in ring {
            let dx = corner.longitude - previous.longitude
            let dy = corner.latitude - previous.latitude
            let cross =
                dx * (point.latitude - previous.latitude) - dy * (point.longitude - previous.longitude)
            if cross == 0, min(previous.longitude, corner.longitude) <= point.longitude,
                point.longitude <= max(previous.longitude, corner.longitude),
                min(previous.latitude, corner.latitude) <= point.latitude,
                point.latitude <= max(previous.latitude, corner.latitude)
            {
                return 0
            }
            if (corner.latitude > point.latitude) != (previous.latitude > point.latitude),
                point.longitude < dx * (point.latitude - previous.latitude) / dy + previous.longitude
            {
                isInside.toggle()
            }
            previous = corner
        }
        return isInside ? 1 : -1
    }

    /// Metres on the ellipsoid by Vincenty's inverse formula (T. Vincenty, "Direct and inverse solutions of
    /// geodesics on the ellipsoid", 1975); of points nearly opposite, where it does not converge, the half
    /// circumference.
    static func distance(_ from: Point, _ to: Point) -> Double {
        let major = 6_378_137.0
        let flattening = 1 / 298.257_223_563
        let minor = major * (1 - flattening)
        let radians = Double.pi / 180
        let difference = (to.longitude - from.longitude) * radians
        let first = atan((1 - flattening) * tan(from.latitude * radians))
        let second = atan((1 - flattening) * tan(to.latitude * radians))
        let (sin1, cos1, sin2, cos2) = (sin(first), cos(first), sin(second), cos(second))
        var lambda = difference
        for _ in 0..<200 {
            let (sinLambda, cosLambda) = (sin(lambda), cos(lambda))
            let a = cos2 * sinLambda
            let b = cos1 * sin2 - sin1 * cos2 * cosLambda
            let sinSigma = (a * a + b * b).squareRoot()
            if sinSigma == 0 { return 0 }
            let cosSigma = sin1 * sin2 + cos1 * cos2 * cosLambda
            let sigma = atan2(sinSigma, cosSigma)
            let sinAlpha = cos1 * cos2 * sinLambda / sinSigma
            let cosAlpha2 = 1 - sinAlpha * sinAlpha
            let cosMiddle = cosAlpha2 == 0 ? 0 : cosSigma - 2 * sin1 * sin2 / cosAlpha2
            let c = flattening / 16 * cosAlpha2 * (4 + flattening * (4 - 3 * cosAlpha2))
            let before = lambda
            let inner = cosMiddle + c * cosSigma * (2 * cosMiddle * cosMiddle - 1)
            lambda = difference + (1 - c) * flattening * sinAlpha * (sigma + c * sinSigma * inner)
            if abs(lambda - before) < 1e-12 {
                let u = cosAlpha2 * (major * major - minor * minor) / (minor * minor)
                let k = 1 + u / 16_384 * (4_096 + u * (-768 + u * (320 - 175 * u)))
                let l = u / 1_024 * (256 + u * (-128 + u * (74 - 47 * u)))
                let m = 2 * cosMiddle * cosMiddle - 1
                let n = l / 6 * cosMiddle * (4 * sinSigma * sinSigma - 3) * (4 * cosMiddle * cosMiddle - 3)
                return minor * k * (sigma - l * sinSigma * (cosMiddle + l / 4 * (cosSigma * m - n)))
            }
        }
        return Double.pi * minor
    }
}
