import LuaBridge
import Support
import Tensors
import VideoIO

extension FramePrefetcher: LuaObject {
  static var luaName: String { "clip" }
}

/// Reads and writes video files.
enum VideoModule {
  private struct Open: LuaOptions {
    var size: [Int]?
    var crop: [Int]?
    var first: Int?
    var last: Int?
    var every: Int?
    var rate: Double?
    var cache: Int?
    var cacheDir: String?
    var pixelFormat: String?
    var width: Int?
    var height: Int?
    var allowTruncated = false
    var deinterlace = false
    static var luaFields: [LuaField<Open>] {
      [
        LuaField("size", \.size), LuaField("crop", \.crop), LuaField("first", \.first),
        LuaField("last", \.last), LuaField("every", \.every), LuaField("rate", \.rate),
        LuaField("cache", \.cache), LuaField("cache_dir", \.cacheDir),
        LuaField("deinterlace", \.deinterlace), LuaField("pixel_format", \.pixelFormat),
        LuaField("width", \.width), LuaField("height", \.height),
        LuaField("allow_truncated", \.allowTruncated),
      ]
    }

    func options() throws -> VideoOptions {
      var o = VideoOptions()
      if let size {
        guard size.count == 2 else {
          throw LunervError(.argument, "size: expected {height, width}, got \(size.count) numbers")
        }
        o.size = .init(height: size[0], width: size[1])
      }
      if let crop {
        guard crop.count == 4 else {
          throw LunervError(
            .argument, "crop: expected {y, x, height, width}, got \(crop.count) numbers")
        }
        guard crop[0] >= 1, crop[1] >= 1 else {
          throw LunervError(
            .argument, "crop: rows and columns count from 1, got \(crop[0]) and \(crop[1])")
        }
        o.crop = .init(y: crop[0] - 1, x: crop[1] - 1, height: crop[2], width: crop[3])
      }
      for (name, value) in [("first", first), ("last", last)] {
        if let value, value < 1 {
          throw LunervError(.argument, "\(name): frames count from 1, got \(value)")
        }
      }
      o.first = first.map { $0 - 1 }
      o.last = last.map { $0 - 1 }
      if let every { o.every = every }
      if let rate { o.rate = Rational(approximating: rate) }
      if (width == nil) != (height == nil) || width == nil && pixelFormat != nil {
        throw LunervError(
          .argument,
          "width, height and pixel_format are those of headerless video: expected both "
            + "sides")
      }
      if let width, let height {
        o.raw = .init(width: width, height: height, pixelFormat: pixelFormat ?? "rgb24")
      }
      o.allowTruncated = allowTruncated
      o.deinterlace = deinterlace
      o.interrupted = { LuaInterrupt.isRequested }
      return o
    }
  }

  private struct Write: LuaOptions {
    var width: Int?
    var height: Int?
    var fps: Double?
    var timestamps: [Double]?
    var format: String?
    var crf: Double?
    var preset: String?
    var tune: String?
    var oneGroup = false
    var threads: Int?
    static var luaFields: [LuaField<Write>] {
      [
        LuaField("width", \.width), LuaField("height", \.height), LuaField("fps", \.fps),
        LuaField("timestamps", \.timestamps), LuaField("format", \.format), LuaField("crf", \.crf),
        LuaField("preset", \.preset), LuaField("tune", \.tune),
        LuaField("one_group", \.oneGroup), LuaField("threads", \.threads),
      ]
    }
  }

  static func define(_ m: LuaModule) -> (LuaClass<FramePrefetcher>, LuaClass<FrameWriter>) {
    m.define(
      "open_video", params: ["path", "options"],
      doc: "A clip of a video file, an image folder or a raw pipe; or nil and a message."
    ) { (path: String, o: Open) in
      try reading(o) { options in
        [
          FramePrefetcher(
            try Clip(path: path, options: options, cacheBytes: o.cache, cacheDirectory: o.cacheDir))
        ]
      }
    }
    scanning(m)
    m.define(
      "open_writer", params: ["path", "options"],
      doc: """
        A writer of frames: width, height, fps, timestamps, format, and for H.264 and H.265 crf, \
        preset, tune, one_group, threads; or nil and a message.
        """
    ) { (path: String, o: Write) in
      guard let width = o.width, let height = o.height else {
        throw LunervError(.argument, "expected width and height, or a clip that has them")
      }
      var options = WriterOptions()
      if let format = o.format {
        guard let known = VideoFormat(rawValue: format) else {
          let names = VideoFormat.allCases.map(\.rawValue).joined(separator: ", ")
          throw LunervError(.argument, "unknown format '\(format)' (known: \(names))")
        }
        options.format = known
      }
      if let fps = o.fps {
        guard fps > 0, fps <= 100_000 else {
          throw LunervError(
            .argument, "fps: expected a number above 0, at most 100000, got \(fps)")
        }
        options.frameRate = Rational(approximating: fps)
      }
      var last = -Double.infinity
      for time in o.timestamps ?? [] {
        guard time > last, abs(time) < 1e9 else {
          throw LunervError(
            .argument, "timestamps: expected seconds that increase, got \(time)")
        }
        last = time
      }
      // Frames of variable rate fall between the ticks of a constant one.
      if o.timestamps != nil { options.timeBase = Rational(1, 1_000_000) }
      if let crf = o.crf { options.crf = crf }
      if let preset = o.preset { options.preset = preset }
      options.tune = o.tune
      options.oneGroup = o.oneGroup
      if let threads = o.threads { options.threads = threads }
      return try FileModule.attempt({
        FrameWriter(
          try VideoWriter(path: path, width: width, height: height, options: options),
          timestamps: o.timestamps)
      })
    }
    m.show("open_video", as: "video.open")
    m.show("open_writer", as: "video.writer")
    return (clips(), writers())
  }

  /// The result of `body`, or nil and a message for errors of a video. Sound options that the file
  /// cannot fulfil are such an error; other wrong options are the script's mistake.
  private static func reading(
    _ o: Open, _ body: (VideoOptions) throws -> [(any LuaResult)?]
  ) throws -> LuaResults {
    let options = try o.options()
    do {
      try options.validate()
    } catch let error as LunervError where error.kind == .memory {
      return LuaResults(LuaFailure(LunervError(.data, error.message)))
    }
    return try FileModule.results {
      do {
        return try body(options)
      } catch let error as LunervError where [.argument, .memory].contains(error.kind) {
        throw LunervError(.data, error.message, context: error.context)
      }
    }
  }

  /// Differences of frames as two lists: from the previous frame, and from two frames before.
  private static func lists(_ changes: [SceneMeter.Change]) -> [[Double]] {
    [changes.map(\.fromLast), changes.map(\.fromSecondLast)]
  }

  private static func scanning(_ m: LuaModule) {
    m.define(
      "scan_video", params: ["path", "options"],
      doc: """
        Reads a video once and keeps no frame: width, height, frames per second, timestamps, \
        warnings, whether it has audio, and how much each frame differs in luma (0 to 255) from \
        the previous frame and from two frames before; or nil and a message.
        """
    ) { (path: String, o: Open) in
      try reading(o) { options in
        let reader = try VideoReader(path: path, options: options)
        var frame = [UInt8](repeating: 0, count: reader.frameBytes)
        var (times, changes, meter) = ([FrameTime](), [SceneMeter.Change](), SceneMeter())
        while let time = try frame.withUnsafeMutableBufferPointer({ try reader.next(into: $0) }) {
          times.append(time)
          changes.append(frame.withUnsafeBufferPointer { meter.add($0) })
        }
        let timing = ClipTiming(times, declared: reader.frameRate)
        return [
          reader.width, reader.height, timing.rate.value, timing.times.map(\.seconds),
          reader.warnings, reader.hasAudio, lists(changes),
        ]
      }
    }
    m.define(
      "can_reread", params: ["path"],
      doc: "Whether a video can be read more than once: a file or a folder, not a pipe."
    ) { (path: String) -> Bool in VideoReader.canReread(path) }
  }

  private static func clips() -> LuaClass<FramePrefetcher> {
    let c = LuaClass<FramePrefetcher>()
    c.meta("__len") { (a: FramePrefetcher) -> Int in a.clip.count }
    c.property("width", doc: "The width in pixels.") { (a: FramePrefetcher) -> Int in a.clip.width }
    c.property("height", doc: "The height in pixels.") { (a: FramePrefetcher) -> Int in
      a.clip.height
    }
    c.property("frames", doc: "The number of frames.") { (a: FramePrefetcher) -> Int in a.clip.count
    }
    c.property("fps", doc: "Frames per second.") { (a: FramePrefetcher) -> Double in
      a.clip.frameRate.value
    }
    c.property("path") { (a: FramePrefetcher) -> String in a.clip.path }
    c.property("warnings", doc: "What was left out, as text.") { (a: FramePrefetcher) -> [String] in
      a.clip.warnings
    }
    c.property("has_audio") { (a: FramePrefetcher) -> Bool in a.clip.hasAudio }
    c.property("timestamps", doc: "Seconds, for every frame.") { (a: FramePrefetcher) -> [Double] in
      a.clip.timestamps
    }
    c.property("waited", doc: "Seconds that frame() has taken so far.") {
      (a: FramePrefetcher) -> Double in a.waited
    }
    c.method("frame", params: ["i"], doc: "Frame i as f32 (1, 3, H, W) in [0, 1].") {
      (a: FramePrefetcher, i: Int) -> Tensor in
      try a.frame(position(i, count: a.clip.count, "frame"))
    }
    c.method("frame_u8", params: ["i"], doc: "Frame i as u8 (1, 3, H, W).") {
      (a: FramePrefetcher, i: Int) -> Tensor in
      try a.clip.withFrame(position(i, count: a.clip.count, "frame_u8")) {
        try Tensor.from(
          bytes: UnsafeRawBufferPointer($0), [1, 3, a.clip.height, a.clip.width], .u8)
      }
    }
    c.method(
      "prefetch", params: ["i"], doc: "Prepares frame i in the background, for frame(i)."
    ) { (a: FramePrefetcher, i: Int) in
      a.prefetch(try position(i, count: a.clip.count, "prefetch"))
    }
    c.method("changes", doc: "How much the frames differ, as in scan_video.") {
      (a: FramePrefetcher) -> [[Double]] in
      var meter = SceneMeter()
      return lists(try (0..<a.clip.count).map { try a.clip.withFrame($0) { meter.add($0) } })
    }
    c.method("close", doc: "Releases the frames.", polls: false) { (a: FramePrefetcher) in
      a.close()
    }
    c.meta("__close") { (a: FramePrefetcher, _: LuaValue) in a.close() }
    return c
  }

  private static func writers() -> LuaClass<FrameWriter> {
    let c = LuaClass<FrameWriter>()
    c.method(
      "write", params: ["frame"],
      doc: """
        Adds a frame.

        It is encoded while the script makes the next one; the next call reports errors.

            writer:write(model(0.5))

        @param frame tensor  (1, 3, h, w) or (3, h, w): f32 in [0, 1], cut off beyond, or u8
        """
    ) { (w: FrameWriter, frame: Tensor) in try w.write(frame) }
    c.property("warnings", doc: "What the format cannot store, a list of texts.") {
      (w: FrameWriter) -> [String] in
      try w.settled().warnings
    }
    c.method(
      "close",
      doc: """
        Completes the file, which appears at its path now.

        A variable declared `local writer <close>` does so at the end of its block, and leaves no \
        file where the block ends in an error.
        """, polls: false
    ) { (w: FrameWriter) in try w.close() }
    c.method("cancel", doc: "Ends the writer and leaves no file.", polls: false) {
      (w: FrameWriter) in w.cancel()
    }
    c.meta("__close") { (w: FrameWriter, error: LuaValue) in
      if case .nil_ = error { try w.close() } else { w.cancel() }
    }
    return c
  }
}

/// A video writer that takes tensors. It encodes a frame while the caller makes the next one; the
/// next call reports an error.
final class FrameWriter: LuaObject {
  static var luaName: String { "writer" }
  private let writer: VideoWriter
  private let side = SideThread()
  private let timestamps: [Double]?

  init(_ writer: VideoWriter, timestamps: [Double]?) {
    self.writer = writer
    self.timestamps = timestamps
  }

  deinit { side.stop() }

  /// The writer, once the previous frame has been written.
  func settled() throws -> VideoWriter {
    try side.wait()
    return writer
  }

  func close() throws {
    do { try side.wait() } catch {
      writer.cancel()
      throw error
    }
    try writer.close()
  }

  func cancel() {
    try? side.wait()
    writer.cancel()
  }

  func write(_ frame: Tensor) throws {
    let expected = [3, writer.height, writer.width]
    guard frame.shape == expected || frame.shape == [1] + expected else {
      throw LunervError(
        .argument,
        "write: expected a frame of (1, 3, \(writer.height), \(writer.width)), got (\(frame.shape.map(String.init).joined(separator: ", ")))"
      )
    }
    var levels: [UInt8] = []
    switch frame.dtype {
    case .u8: try frame.withBytes { levels = Array($0) }
    case .f32:
      try frame.withBytes { bytes in
        let values = bytes.bindMemory(to: Float.self)
        levels = [UInt8](repeating: 0, count: values.count)
        var isSound = true
        for (i, v) in values.enumerated() {
          levels[i] = level8(v)
          isSound = isSound && v == v
        }
        guard isSound else {
          throw LunervError(.argument, "write: expected numbers, the frame contains nan")
        }
      }
    default:
      throw LunervError(.argument, "write: expected f32 or u8, got \(frame.dtype.rawValue)")
    }
    let writer = try settled()
    let n = writer.framesWritten
    let time = timestamps.flatMap { n < $0.count ? FrameTime(seconds: $0[n]) : nil }
    let handed = levels
    if writer.isClosed || !side.start({ try writer.write(handed, at: time) }) {
      try writer.write(handed, at: time)
    }
  }
}
