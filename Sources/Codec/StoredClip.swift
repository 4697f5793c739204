import Coder
import Support

/// What a file says about its clip.
///
///     numbers    height, width, frames; the frame rate's numerator and denominator
///     one byte   0: frame i begins i frame durations after the first, which begins at 0;
///                1: a stream follows with the first time and every difference, in microseconds,
///                each as the change from the previous difference
public struct StoredClip: Sendable, Equatable {
  public var height: Int
  public var width: Int
  public var frames: Int
  /// Frames per second, as a fraction.
  public var rate: (numerator: Int, denominator: Int)
  /// When each frame begins, in microseconds; nil for a constant rate.
  public var times: [Int]?

  /// The largest side, and the largest product of frames and pixels.
  public static let largestSide = 1 << 16
  public static let largestVolume = 1 << 36
  /// The most frames with their own times, which may take almost no bytes: twelve hours at 24 per
  /// second.
  public static let mostTimes = 1 << 20
  /// Clips are shorter than this, in seconds.
  static let longest = 1e9
  /// Times that differ from a constant rate's by at most this, in microseconds, count as constant:
  /// containers round to milliseconds.
  static let tolerance = 1000

  public static func == (a: StoredClip, b: StoredClip) -> Bool {
    a.height == b.height && a.width == b.width && a.frames == b.frames && a.rate == b.rate
      && a.times == b.times
  }

  /// - Parameter seconds: when each frame begins; empty for a constant rate.
  public init(
    height: Int, width: Int, frames: Int, rate: (numerator: Int, denominator: Int),
    seconds: [Double]
  ) throws {
    self.height = height
    self.width = width
    self.frames = frames
    self.rate = rate
    try check()
    guard seconds.allSatisfy({ abs($0) < StoredClip.longest }) else {
      throw LunervError(.argument, "expected timestamps of less than 10⁹ seconds")
    }
    guard seconds.isEmpty || seconds.count == frames else {
      throw LunervError(
        .argument, "timestamps: expected \(frames), one for each frame, got \(seconds.count)")
    }
    guard zip(seconds, seconds.dropFirst()).allSatisfy({ $0 < $1 }) else {
      throw LunervError(.argument, "timestamps: expected seconds that increase")
    }
    let micros = seconds.map { Int(($0 * 1e6).rounded()) }
    guard zip(micros, micros.dropFirst()).allSatisfy({ $0 < $1 }) else {
      throw LunervError(.argument, "timestamps: expected frames at least a microsecond apart")
    }
    let isConstant = micros.enumerated().allSatisfy { i, time in
      abs(time - StoredClip.time(i, rate)) <= StoredClip.tolerance
    }
    times = isConstant || micros.count != frames ? nil : micros
    guard times == nil || frames <= StoredClip.mostTimes else {
      throw LunervError(
        .argument,
        "timestamps: expected at most \(StoredClip.mostTimes) that vary, got \(frames)")
    }
  }

  private static func time(_ i: Int, _ rate: (numerator: Int, denominator: Int)) -> Int {
    Int((Double(i) * Double(rate.denominator) / Double(rate.numerator) * 1e6).rounded())
  }

  /// When frame i, from 0, begins, in seconds.
  public func seconds(_ i: Int) -> Double {
    Double(times?[i] ?? StoredClip.time(i, rate)) * 1e-6
  }

  private func check() throws {
    let sides = 1...StoredClip.largestSide
    guard sides.contains(height), sides.contains(width), frames >= 1,
      frames <= StoredClip.largestVolume / (height * width)
    else {
      throw LunervError(
        .data,
        "expected sides from 1 to \(sides.upperBound), at most \(StoredClip.largestVolume) pixels, "
          + "got \(frames) frames of \(width)×\(height)")
    }
    guard rate.numerator >= 1, rate.denominator >= 1, rate.numerator < 1 << 31,
      rate.denominator < 1 << 31
    else {
      throw LunervError(
        .data,
        "expected a frame rate of positive terms below 2³¹, got \(rate.numerator)/\(rate.denominator)"
      )
    }
    guard Double(frames) * Double(rate.denominator) < StoredClip.longest * Double(rate.numerator)
    else {
      let rate = "\(rate.numerator)/\(rate.denominator)"
      throw LunervError(
        .data, "\(frames) frames at \(rate) per second last 10⁹ seconds or longer")
    }
  }

  /// The time between two frames is below this, in microseconds.
  private static let longestGap = 1 << 36

  public func encoded() throws -> [UInt8] {
    var writer = ByteWriter()
    for value in [height, width, frames, rate.numerator, rate.denominator] {
      writer.number(UInt64(value))
    }
    writer.byte(times == nil ? 0 : 1)
    if let times {
      writer.signed(Int64(times[0]))
      var encoder = Encoder()
      var model = try AdaptiveModel(first: -64, count: 129)
      var (time, difference) = (times[0], 0)
      for next in times.dropFirst() {
        guard let change = Int32(exactly: next - time - difference),
          next - time < StoredClip.longestGap
        else {
          throw LunervError(
            .argument,
            "expected times between frames below 19 hours that change by less than half an hour")
        }
        encoder.encode(change, with: &model)
        (time, difference) = (next, next - time)
      }
      writer.append(encoder.finish())
    }
    return writer.bytes
  }

  public init(_ bytes: [UInt8]) throws {
    var reader = ByteReader(bytes)
    let side = StoredClip.largestSide
    height = try reader.count(limit: side, "the height")
    width = try reader.count(limit: side, "the width")
    frames = try reader.count(limit: StoredClip.largestVolume, "the number of frames")
    rate.numerator = try reader.count(limit: Int(Int32.max), "the frame rate")
    rate.denominator = try reader.count(limit: Int(Int32.max), "the frame rate")
    let kind = try reader.byte()
    times = nil
    try check()
    if kind == 0 {
      try reader.finish()
      return
    }
    guard kind == 1 else { throw LunervError(.data, "expected times of kind 0 or 1, got \(kind)") }
    let first = try reader.signed("the first time")
    guard first.magnitude < 1 << 50 else {
      throw LunervError(.data, "expected a first time below 2⁵⁰ µs, got \(first)")
    }
    guard frames <= StoredClip.mostTimes else {
      throw LunervError(
        .data,
        "expected at most \(StoredClip.mostTimes) frames with individual times, got \(frames)")
    }
    let stream = Array(try reader.take(reader.remaining))
    let frames = frames
    times = try decoding {
      var decoder = try Decoder(stream)
      var model = try AdaptiveModel(first: -64, count: 129)
      var (times, difference) = ([Int(first)], 0)
      for change in try decoder.decode(count: frames - 1, with: &model) {
        difference += Int(change)
        guard difference > 0, difference < StoredClip.longestGap,
          abs(times[times.count - 1]) < 1 << 61
        else {
          throw CoderError.damaged
        }
        times.append(times[times.count - 1] + difference)
      }
      try decoder.finish()
      return times
    }
  }
}
