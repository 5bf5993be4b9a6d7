import DeviceQueue

/// The variable parts of a staged record frame; borrowed from its staging buffer.
struct StagedFrameView {
    let topic: UnsafeRawBufferPointer
    let properties: UnsafeRawBufferPointer
    let payload: UnsafeRawBufferPointer

    init(_ frame: UnsafeRawPointer) {
        let topicBytes = Int(frame.load(fromByteOffset: FrameLayout.topicBytes, as: UInt16.self))
        let propertiesBytes = Int(frame.load(fromByteOffset: FrameLayout.propertiesBytes, as: UInt32.self))
        let payloadBytes = Int(frame.load(fromByteOffset: FrameLayout.payloadBytes, as: UInt32.self))
        let start = frame + FrameLayout.recordHeaderBytes
        topic = UnsafeRawBufferPointer(start: start, count: topicBytes)
        properties = UnsafeRawBufferPointer(start: start + topicBytes, count: propertiesBytes)
        payload = UnsafeRawBufferPointer(start: start + topicBytes + propertiesBytes, count: payloadBytes)
    }
}
