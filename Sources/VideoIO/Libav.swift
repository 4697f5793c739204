import CFFmpeg
@preconcurrency import Glibc
import Support

/// Helpers for libav: quiet logs, texts for codes, owned frames.
enum Libav {
  /// Installs the log callback, once. libav never prints after that.
  static func start() { _ = installed }

  private static let installed: Void = {
    av_log_set_callback { _, level, format, arguments in
      guard level <= AV_LOG_ERROR, let format, let arguments else { return }
      let thread = pthread_self()
      let wanted = Libav.lines.withLock { $0[thread] != nil }
      guard wanted else { return }
      var bytes = [CChar](repeating: 0, count: 400)
      var prefix: Int32 = 1
      // Without the context, whose name is not wanted. Some of libav's contexts have no function
      // for it, and libav would call that.
      let written = av_log_format_line2(
        nil, level, format, arguments, &bytes, Int32(bytes.count), &prefix)
      guard written > 0 else { return }
      let line = Libav.clean(bytes)
      if !line.isEmpty { Libav.lines.withLock { $0[thread] = line } }
    }
  }()

  /// The last error line of each thread inside ``listening(_:)``.
  private static let lines = Guarded<[pthread_t: String]>([:])

  /// Runs libav calls and returns their result with the last error line that they logged on this
  /// thread, or "".
  static func listening(_ body: () -> Int32) -> (code: Int32, line: String) {
    let thread = pthread_self()
    lines.withLock { $0[thread] = "" }
    let code = body()
    let line = lines.withLock { $0.removeValue(forKey: thread) } ?? ""
    return (code, line)
  }

  /// Repeats a call that opens a file if a signal interrupts it: libav itself gives up.
  static func uninterrupted(_ body: () -> Int32) -> Int32 {
    while true {
      let code = body()
      if code != interrupted { return code }
    }
  }

  /// Sets an option, or throws. An option that is lost for lack of memory would go unnoticed: other
  /// bytes would be written, or forbidden files opened.
  static func set(_ options: inout OpaquePointer?, _ key: String, _ value: String) throws {
    guard av_dict_set(&options, key, value, 0) >= 0 else { throw noMemory("an option of libav") }
  }

  /// libav's text for a negative return value.
  static func text(_ code: Int32) -> String {
    var bytes = [CChar](repeating: 0, count: 128)
    av_strerror(code, &bytes, bytes.count)
    return clean(bytes)
  }

  /// The code's text, then the logged line if it adds something.
  static func text(_ result: (code: Int32, line: String)) -> String {
    result.line.isEmpty ? text(result.code) : "\(text(result.code)): \(result.line)"
  }

  /// A C string on one line: no control characters, "[mov @ 0x55…]" prefixes removed.
  private static func clean(_ bytes: [CChar]) -> String {
    let visible = bytes.prefix { $0 != 0 }.map { $0 >= 0 && ($0 < 32 || $0 == 127) ? 32 : $0 }
    var text = Substring(String(decoding: visible.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    while text.hasPrefix("["), let end = text.firstIndex(of: "]") {
      text = text[text.index(after: end)...].drop { $0 == " " }
    }
    while text.last == " " || text.last == "." { text.removeLast() }
    return String(text)
  }

  static let endOfFile = lunerv_averror_eof()
  static let tryAgain = lunerv_averror(EAGAIN)
  static let interrupted = lunerv_averror(EINTR)
  static let external = lunerv_averror_external()
  static let outOfMemory = lunerv_averror(ENOMEM)
  static let noTimestamp = lunerv_no_pts()

  /// An empty frame; the caller frees it.
  static func newFrame() throws -> UnsafeMutablePointer<AVFrame> {
    guard let frame = av_frame_alloc() else { throw noMemory("a frame") }
    return frame
  }

  /// An empty packet; the caller frees it.
  static func newPacket() throws -> UnsafeMutablePointer<AVPacket> {
    guard let packet = av_packet_alloc() else { throw noMemory("a packet") }
    return packet
  }

  static func noMemory(_ what: String) -> LunervError {
    LunervError(.memory, "not enough memory for \(what)")
  }
}

/// A ratio of two integers: a frame rate in frames per second, or a time base in seconds.
public struct Rational: Sendable, Hashable, CustomStringConvertible {
  public var numerator: Int32
  public var denominator: Int32

  public init(_ numerator: Int32, _ denominator: Int32 = 1) {
    self.numerator = numerator
    self.denominator = denominator
  }

  /// The closest ratio with terms up to a million. 29.97 becomes 30000/1001, and 23.976 and 59.94
  /// likewise: no camera uses 2997/100.
  public init(approximating value: Double) {
    for whole in [24.0, 30.0, 48.0, 60.0, 120.0] where abs(value - whole / 1.001) < 0.0006 * whole {
      // 24/1.001 = 23.976, 24 is 0.1 % away: the window is 0.06 %.
      self.init(Int32(whole) * 1000, 1001)
      return
    }
    self.init(av_d2q(value, 1_000_000))
  }

  init(_ ratio: AVRational) { self.init(ratio.num, ratio.den) }

  var av: AVRational { AVRational(num: numerator, den: denominator) }

  /// Numerator over denominator.
  public var value: Double { Double(numerator) / Double(denominator) }

  /// Both terms are positive.
  public var isPositive: Bool { numerator > 0 && denominator > 0 }

  /// The reciprocal: the time base that counts frames of this rate.
  public var inverse: Rational { Rational(denominator, numerator) }

  public var description: String { "\(numerator)/\(denominator)" }

  /// The ratio divided by an integer; nil if that overflows.
  func divided(by count: Int) -> Rational? {
    var result = AVRational(num: 0, den: 1)
    let (product, overflow) = Int64(denominator).multipliedReportingOverflow(by: Int64(count))
    guard !overflow else { return nil }
    av_reduce(&result.num, &result.den, Int64(numerator), product, Int64(Int32.max))
    let ratio = Rational(result)
    return ratio.isPositive ? ratio : nil
  }
}

/// When a frame is shown, exactly: `pts` ticks of `timeBase` seconds.
public struct FrameTime: Sendable, Hashable {
  public var pts: Int64
  public var timeBase: Rational

  public init(pts: Int64, timeBase: Rational) {
    self.pts = pts
    self.timeBase = timeBase
  }

  /// The nearest microsecond; nil if it is not a time (NaN, beyond 30,000 years).
  public init?(seconds: Double) {
    guard seconds.isFinite, abs(seconds) < 1e12 else { return nil }
    self.init(pts: Int64((seconds * 1e6).rounded()), timeBase: Rational(1, 1_000_000))
  }

  public var seconds: Double {
    Double(pts) * Double(timeBase.numerator) / Double(timeBase.denominator)
  }

  /// Whether this is earlier than another time, exactly.
  func isBefore(_ other: FrameTime) -> Bool {
    av_compare_ts(pts, timeBase.av, other.pts, other.timeBase.av) < 0
  }

  /// The nearest tick of another time base; nil if that overflows 64 bits.
  func ticks(of other: Rational) -> Int64? {
    guard timeBase.isPositive, other.isPositive else { return nil }
    let ticks = av_rescale_q(pts, timeBase.av, other.av)
    return ticks == Int64.min ? nil : ticks
  }
}
