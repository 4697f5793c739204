/// How much each frame differs from the previous ones, for finding scene cuts.
///
/// The difference of two frames is the mean absolute difference of their pixels' luma, from 0 to
/// 255.
public struct SceneMeter {
  /// Differences of a frame from the previous one and from two frames before; 0 if there is none.
  public struct Change: Sendable, Equatable {
    public var fromLast: Double
    public var fromSecondLast: Double
  }

  private var last: [UInt8] = []
  private var secondLast: [UInt8] = []

  public init() {}

  /// Adds a frame: planar RGB, 3 × height × width bytes, of the same size as the previous ones.
  public mutating func add(_ pixels: UnsafeBufferPointer<UInt8>) -> Change {
    let count = pixels.count / 3
    let luma = [UInt8](unsafeUninitializedCapacity: count) { buffer, written in
      for i in 0..<count {
        let (r, g, b) = (pixels[i], pixels[count + i], pixels[2 * count + i])
        // BT.601's weights in 256ths.
        let sum = 77 * UInt32(r) + 150 * UInt32(g) + 29 * UInt32(b)
        buffer[i] = UInt8(truncatingIfNeeded: sum >> 8)
      }
      written = count
    }
    defer { (secondLast, last) = (last, luma) }
    return Change(
      fromLast: SceneMeter.distance(luma, last),
      fromSecondLast: SceneMeter.distance(luma, secondLast))
  }

  private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Double {
    guard a.count == b.count, !a.isEmpty else { return 0 }
    var total = 0
    for i in a.indices { total += abs(Int(a[i]) - Int(b[i])) }
    return Double(total) / Double(a.count)
  }
}
