import CFFmpeg
import Support

/// Gives a source a constant frame rate by repeating and dropping pictures.
///
/// A picture belongs to the output time nearest to its own, counted from the first picture. Of
/// several that share one, the last is shown; an output time without any repeats the previous
/// picture. The output is as long as the source, including the last picture's duration.
final class RateResampler {
  private let source: any FrameSource
  private let rate: Rational
  /// The picture being shown.
  private let held: UnsafeMutablePointer<AVFrame>
  private var heldOrientation = Orientation()
  private var start: FrameTime?
  /// The output time of the source's newest picture, which is shown from then on.
  private var pending: Int64?
  private var nextInstant: Int64 = 0
  private var endInstant: Int64?
  private var last = FrameTime(pts: 0, timeBase: Rational(1))
  private var lastDuration: Int64 = 0

  init(_ source: any FrameSource, rate: Rational) throws {
    self.source = source
    self.rate = rate
    held = try Libav.newFrame()
  }

  deinit {
    var held: UnsafeMutablePointer<AVFrame>? = held
    av_frame_free(&held)
  }

  var frame: UnsafeMutablePointer<AVFrame> { held }
  var orientation: Orientation { heldOrientation }

  func next() throws -> FrameTime? {
    if start == nil {
      guard try advance() else { return nil }
      try show()
      _ = try advance()
    }
    while let pending, pending <= nextInstant {
      try show()
      _ = try advance()
    }
    if let endInstant, nextInstant >= endInstant { return nil }
    let instant = nextInstant
    nextInstant += 1
    guard let start, let first = start.ticks(of: rate.inverse) else { return nil }
    return FrameTime(
      pts: first.addingReportingOverflow(instant).partialValue, timeBase: rate.inverse)
  }

  /// Decodes the next picture and finds its output time; false at the end.
  private func advance() throws -> Bool {
    pending = nil
    guard let time = try source.next() else {
      if let start {
        let end = last.pts.addingReportingOverflow(lastDuration).partialValue
        endInstant = max(1, try instant(end, since: start))
      }
      return false
    }
    if start == nil { start = time }
    pending = try instant(time.pts, since: start ?? time)
    last = time
    // Without a stated duration, a picture lasts one frame of the nominal rate.
    let stated = source.frame.pointee.pkt_duration
    let nominal = FrameTime(pts: 1, timeBase: source.frameRate.inverse).ticks(of: time.timeBase)
    lastDuration = stated > 0 && !source.isImage ? stated : nominal ?? 0
    return true
  }

  private func instant(_ pts: Int64, since start: FrameTime) throws -> Int64 {
    let (elapsed, overflow) = pts.subtractingReportingOverflow(start.pts)
    guard !overflow,
      let instant = FrameTime(pts: elapsed, timeBase: start.timeBase).ticks(of: rate.inverse)
    else { throw LunervError(.data, "timestamps lie too far apart to resample") }
    return instant
  }

  /// Takes the source's picture as the one being shown.
  private func show() throws {
    av_frame_unref(held)
    guard av_frame_ref(held, source.frame) >= 0 else { throw Libav.noMemory("a frame") }
    heldOrientation = source.orientation
  }
}
