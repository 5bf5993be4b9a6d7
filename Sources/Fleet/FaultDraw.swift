/// What chance decides about one reading. Every reading takes the same number of draws, whatever they
/// decide and whatever the rates are, so that a changed rate of one fault leaves the others where they were.
struct FaultDraw {
    struct Corruption {
        /// 0: cut off, 1: another last byte, 2: text in front.
        var kind: Int64
        /// How much is cut off, 0 ..< 1 of the payload.
        var amount: Double
    }
    let isLost: Bool
    let isMalformed: Bool
    let duplicateAfter: Int64?
    let outOfOrderBy: Int64?
    let delayBy: Int64?
    let corruption: Corruption

    init(from model: FaultModel, limits: DeviceScript.Limits, random: inout RandomStream) {
        isLost = random.chance(model.lose)
        isMalformed = random.chance(model.malformed)
        corruption = Corruption(kind: random.whole(in: 0...2), amount: random.unit())
        let repeats = random.chance(model.duplicate)
        let after = random.whole(in: 0...limits.duplicateAfterMillisecondsMax)
        duplicateAfter = repeats ? after : nil
        outOfOrderBy = Self.hold(model.outOfOrder, &random)
        delayBy = Self.hold(model.delay, &random)
    }

    private static func hold(_ model: FaultModel.Hold?, _ random: inout RandomStream) -> Int64? {
        let applies = random.chance(model?.rate ?? 0)
        let by = random.whole(in: model?.byMilliseconds ?? 0...0)
        return applies ? by : nil
    }
}
