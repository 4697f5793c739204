/// When the frames of a clip are shown.
public struct ClipTiming: Sendable {
  /// Relative to the first frame; exact multiples of a frame if the rate is constant.
  public let times: [FrameTime]
  /// Frames per second; the average if the rate varies.
  public let rate: Rational
  /// The unit of the times, in seconds.
  public let timeBase: Rational

  /// - Parameters:
  ///   - times: as they were read.
  ///   - declared: the rate in the file's header, or the one requested.
  public init(_ times: [FrameTime], declared: Rational) {
    guard let first = times.first else {
      (self.times, rate, timeBase) = ([], declared, declared.inverse)
      return
    }
    if let rate = ConstantRate.fit(times, declared: declared) {
      self.rate = rate
      timeBase = rate.inverse
      self.times = times.indices.map { FrameTime(pts: Int64($0), timeBase: rate.inverse) }
    } else {
      rate = declared
      timeBase = first.timeBase
      self.times = times.map {
        FrameTime(pts: $0.pts &- first.pts, timeBase: $0.timeBase)
      }
    }
  }
}
