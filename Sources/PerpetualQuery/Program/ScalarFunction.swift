import QueryLanguage

/// The scalar functions as the program calls them.
enum ScalarFunction: Int, CaseIterable, Hashable, Sendable {
    case abs, ceiling, exp, floor, power, round, sign, square, sqrt
    case nullIf, getType
    case charIndex, concat, concatWithSeparator, left, length, lower, trimStart, character, patternIndex
    case regexMatch, replace, replicate, reverse, right, trimEnd, space, stuff, substring, translate, trim
    case unicode, upper
    case dateAdd, dateDifference, dateName, datePart, dateTimeFromParts
    case getArrayElement, getArrayLength, getRecordPropertyValue, parseJSON
    case createPoint, distance, within

    /// By the spelling of the function table.
    static let byName: [String: ScalarFunction] = [
        "ABS": .abs, "CEILING": .ceiling, "EXP": .exp, "FLOOR": .floor, "POWER": .power, "ROUND": .round,
        "SIGN": .sign, "SQUARE": .square, "SQRT": .sqrt, "NULLIF": .nullIf, "GetType": .getType,
        "CHARINDEX": .charIndex, "CONCAT": .concat, "CONCAT_WS": .concatWithSeparator, "LEFT": .left,
        "LEN": .length, "LOWER": .lower, "LTRIM": .trimStart, "NCHAR": .character, "PATINDEX": .patternIndex,
        "REGEXMATCH": .regexMatch, "REPLACE": .replace, "REPLICATE": .replicate, "REVERSE": .reverse,
        "RIGHT": .right, "RTRIM": .trimEnd, "SPACE": .space, "STUFF": .stuff, "SUBSTRING": .substring,
        "TRANSLATE": .translate, "TRIM": .trim, "UNICODE": .unicode, "UPPER": .upper, "DATEADD": .dateAdd,
        "DATEDIFF": .dateDifference, "DATENAME": .dateName, "DATEPART": .datePart,
        "DATETIMEFROMPARTS": .dateTimeFromParts, "GetArrayElement": .getArrayElement,
        "GetArrayLength": .getArrayLength, "GetRecordPropertyValue": .getRecordPropertyValue,
        "JSON_PARSE": .parseJSON, "CreatePoint": .createPoint, "ST_DISTANCE": .distance, "ST_WITHIN": .within,
    ]

    /// A NULL among the arguments makes the result NULL, whatever the function.
    var isStrict: Bool {
        switch self {
        case .nullIf, .getType, .concat, .concatWithSeparator: false
        default: true
        }
    }
}
