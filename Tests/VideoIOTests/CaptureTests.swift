import CFFmpeg
@preconcurrency import Glibc
import Support
import Testing

@testable import VideoIO

/// Video as written by cameras, browsers and capture programs.
@Suite struct CaptureTests {
  /// Consecutive H.264 pictures, without B-frames.
  private func h264(_ path: String, _ count: Int, first: Int = 0) throws {
    try writeVideo(path, 64, 48, (first..<(first + count)).map { picture(64, 48, $0) }) {
      $0.preset = "ultrafast"
    }
  }

  // MARK: Empty samples

  /// Adds an empty sample after the first three of an MP4's only track.
  private func withEmptySample(_ file: [UInt8]) -> [UInt8] {
    func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
    func big(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 255) } }
    /// - Parameter shift: how far the samples have moved towards the end.
    func edited(_ bytes: ArraySlice<UInt8>, shift: Int) -> [UInt8] {
      var (out, at) = ([UInt8](), bytes.startIndex)
      while at + 8 <= bytes.endIndex {
        let size = number(bytes[at..<(at + 4)])
        var name = String(decoding: bytes[(at + 4)..<(at + 8)], as: UTF8.self)
        var body = Array(bytes[(at + 8)..<(at + size)])
        switch name {
        case "moov", "trak", "mdia", "minf", "stbl": body = edited(body[...], shift: shift)
        case "edts": name = "free"  // it would cut off the added length
        case "stsz":
          let (size, count) = (number(body[4..<8]), number(body[8..<12]))
          var sizes = size > 0 ? [[UInt8]](repeating: big(size), count: count).flatMap { $0 } : []
          if size == 0 { sizes = Array(body[12...]) }
          sizes.insert(contentsOf: big(0), at: 4 * 3)
          body = big(0) + big(0) + big(count + 1) + sizes
        case "stts": body.replaceSubrange(8..<12, with: big(number(body[8..<12]) + 1))
        case "stsc": body.replaceSubrange(12..<16, with: big(number(body[12..<16]) + 1))
        case "stco":
          for i in stride(from: 8, to: body.count, by: 4) {
            body.replaceSubrange(i..<(i + 4), with: big(number(body[i..<(i + 4)]) + shift))
          }
        default: break
        }
        out += big(8 + body.count) + Array(name.utf8) + body
        at += size
      }
      return out
    }
    return edited(file[...], shift: edited(file[...], shift: 0).count - file.count)
  }

  @Test(arguments: hasX264 ? ["png", "libx264"] : ["png"])
  func emptySamplesAreSkipped(codec: String) throws {
    let scratch = try Scratch()
    if codec == "libx264" {
      try h264(scratch["whole.mp4"], 8)
    } else {
      try writeVideo(
        scratch["whole.mp4"], container: "mov", codec: "png", AV_PIX_FMT_RGB24, 64, 48,
        (0..<8).map { picture(64, 48, $0) })
    }
    try save(scratch["gap.mp4"], withEmptySample(try load(scratch["whole.mp4"])))
    let (frames, reader) = try readAll(scratch["gap.mp4"])
    #expect(frames.map(\.pixels) == (try readAll(scratch["whole.mp4"]).frames.map(\.pixels)))
    #expect(reader.warnings.contains { $0.contains("empty samples") })
  }

  // MARK: Streams that begin or end in the middle

  /// The units of a bare H.264 stream, start codes included.
  private func units(_ bytes: [UInt8]) -> [[UInt8]] {
    var starts: [Int] = []
    for i in 0..<(bytes.count - 3) where bytes[i] == 0 && bytes[i + 1] == 0 && bytes[i + 2] == 1 {
      starts.append(i > 0 && bytes[i - 1] == 0 ? i - 1 : i)
    }
    return starts.indices.map { i in
      Array(bytes[starts[i]..<(i + 1 < starts.count ? starts[i + 1] : bytes.count)])
    }
  }

  private func kind(_ unit: [UInt8]) -> UInt8 { (unit[2] == 1 ? unit[3] : unit[4]) & 31 }

  @Test(.enabled(if: hasX264)) func aCaptureMayBeginBetweenKeyFrames() throws {
    let scratch = try Scratch()
    try h264(scratch["a.264"], 6)
    try h264(scratch["b.264"], 5, first: 20)
    // Without its parameters and key frame, the first half cannot be decoded.
    let rest = units(try load(scratch["a.264"])).filter { kind($0) == 1 }
    #expect(rest.count >= 5)
    try save(scratch["both.264"], rest.flatMap { $0 } + (try load(scratch["b.264"])))
    let (frames, reader) = try readAll(scratch["both.264"])
    #expect(frames.map(\.pixels) == (try readAll(scratch["b.264"]).frames.map(\.pixels)))
    #expect(reader.warnings.contains { $0.contains("middle of a group") })
  }

  @Test(.enabled(if: hasX264)) func damageAfterTheRequestedFramesDoesNotMatter() throws {
    let scratch = try Scratch()
    try h264(scratch["a.264"], 12)
    var list = units(try load(scratch["a.264"]))
    let last = try #require(list.lastIndex { kind($0) == 1 })
    list[last].removeLast(list[last].count / 2)
    try save(scratch["bad.264"], list.flatMap { $0 })
    #expect(failure { _ = try readAll(scratch["bad.264"]) }.kind == .data)
    let whole = try readAll(scratch["a.264"]).frames
    let some = try readAll(scratch["bad.264"]) { $0.last = 3 }
    #expect(some.frames.map(\.pixels) == whole.prefix(4).map(\.pixels))
    #expect(some.reader.warnings.isEmpty)
  }

  @Test func aMatroskaFileWithoutLengthsEndsWhereItWasCut() throws {
    let scratch = try Scratch()
    try writeVideo(scratch["a.mkv"], 32, 24, (0..<6).map { picture(32, 24, $0) })
    var bytes = try load(scratch["a.mkv"])
    // As a browser's recorder writes it: neither the segment nor its clusters have a length.
    for id in [[0x18, 0x53, 0x80, 0x67], [0x1f, 0x43, 0xb6, 0x75]] as [[UInt8]] {
      for i in 0..<(bytes.count - 12) where Array(bytes[i..<(i + 4)]) == id {
        let length = bytes[i + 4].leadingZeroBitCount + 1
        bytes[i + 4] = UInt8(0xff >> (length - 1))
        for k in 1..<length { bytes[i + 4 + k] = 0xff }
      }
    }
    try save(scratch["live.mkv"], bytes)
    #expect(try readAll(scratch["live.mkv"]).frames.count == 6)
    try save(scratch["cut.mkv"], Array(bytes[..<(bytes.count * 6 / 10)]))
    let error = failure { _ = try readAll(scratch["cut.mkv"]) }
    #expect(error.kind == .data && error.message.contains("ends early"))
    let kept = try readAll(scratch["cut.mkv"]) { $0.allowTruncated = true }
    #expect((1...5).contains(kept.frames.count))
  }

  // MARK: Times

  @Test(.enabled(if: hasX264)) func reorderedPicturesInAVIKeepTheirRate() throws {
    let scratch = try Scratch()
    try writeVideo(
      scratch["a.avi"], container: "avi", codec: "libx264", AV_PIX_FMT_YUV420P, 64, 48,
      (0..<12).map { flat(64, 48, UInt8(20 * $0), 90, 200) })
    let clip = try Clip(path: scratch["a.avi"])
    #expect(clip.count == 12 && clip.frameRate == Rational(25), "\(clip.frameRate)")
    #expect(clip.timestamps == (0..<12).map { Double($0) / 25 })
  }

  @Test func timesCloserThanTheContainersClockMoveOn() throws {
    let scratch = try Scratch()
    let frames = (0..<5).map { picture(16, 16, $0) }
    let micros = [0, 500, 900, 40_000, 40_300].map {
      FrameTime(pts: $0, timeBase: Rational(1, 1_000_000))
    }
    for name in hasX264 ? ["a.mkv", "a.mp4"] : ["a.mkv"] {
      var options = WriterOptions()
      options.timeBase = Rational(1, 1_000_000)
      let writer = try VideoWriter(path: scratch[name], width: 16, height: 16, options: options)
      for (frame, time) in zip(frames, micros) { try writer.write(frame, at: time) }
      try writer.close()
      let times = try readAll(scratch[name]).frames.map(\.time.seconds)
      if name == "a.mkv" {
        #expect(times == [0, 0.001, 0.002, 0.04, 0.041])
        #expect(writer.warnings.contains { $0.contains("moved to the next tick") })
      } else {
        #expect(times == micros.map(\.seconds))
      }
    }
    // A clock of whole frames, as for a writer without explicit times.
    let writer = try VideoWriter(path: scratch["b.mkv"], width: 16, height: 16)
    for (frame, time) in zip(frames, micros) { try writer.write(frame, at: time) }
    try writer.close()
    #expect(try readAll(scratch["b.mkv"]).frames.count == 5)
    // Decreasing times are still a mistake.
    let other = try VideoWriter(path: scratch["c.mkv"], width: 16, height: 16)
    try other.write(frames[0], at: micros[3])
    #expect(failure { try other.write(frames[1], at: micros[2]) }.message.contains("increase"))
  }

  // MARK: Names

  @Test func aNameThatIsNotUTF8IsNamed() throws {
    let scratch = try Scratch()
    try writeImage(scratch["plain.png"], 8, 8, picture(8, 8, 0))
    let odd = Array(scratch["caf"].utf8CString.dropLast()) + [CChar(bitPattern: 0xe9)]
    rename(scratch["plain.png"], odd + Array(".png".utf8CString))
    defer { unlink(odd + Array(".png".utf8CString)) }
    let error = failure { _ = try VideoReader(path: scratch.path) }
    #expect(error.message.contains(#"caf\xE9.png"#) && error.message.contains("UTF-8"))
  }
}

/// Colours and fields that libavfilter converts to ordinary ones.
@Suite(.enabled(if: FilterLibrary.shared != nil, "libavfilter is not installed"))
struct FilterTests {
  /// Pictures of one colour, with the metadata of a stream.
  private final class Source: FrameSource {
    let frame: UnsafeMutablePointer<AVFrame>
    let orientation = Orientation()
    let isImage = false
    let frameRate = Rational(25)
    let timeBase = Rational(1, 25)
    let hasAudio = false
    let warnings: [String] = []
    let damage: Damage? = nil
    var decoded = 0
    private let count: Int
    private let level: UInt8

    init(_ count: Int, level: UInt8, _ describe: (inout AVFrame) -> Void) throws {
      self.count = count
      self.level = level
      frame = try Libav.newFrame()
      frame.pointee.width = 32
      frame.pointee.height = 24
      frame.pointee.format = AV_PIX_FMT_YUV420P.rawValue
      describe(&frame.pointee)
    }

    deinit {
      var frame: UnsafeMutablePointer<AVFrame>? = frame
      av_frame_free(&frame)
    }

    func next() throws -> FrameTime? {
      guard decoded < count else { return nil }
      if frame.pointee.buf.0 == nil, av_frame_get_buffer(frame, 0) < 0 {
        throw Libav.noMemory("a frame")
      }
      if av_frame_make_writable(frame) < 0 { throw Libav.noMemory("a frame") }
      for plane in 0..<Int32(3) {
        let rows = plane == 0 ? 24 : 12
        let stride = Int(lunerv_stride(frame, plane))
        if let data = lunerv_plane(frame, plane) {
          data.update(repeating: plane == 0 ? level : 128, count: rows * stride)
        }
      }
      decoded += 1
      return FrameTime(pts: Int64(decoded - 1), timeBase: timeBase)
    }
  }

  /// The grey level of the output frames, and the warnings.
  private func pass(
    _ source: Source, deinterlaces: Bool = false
  ) throws -> (levels: [UInt8], times: [Double], warnings: [String]) {
    let filtered = try FilteredFrames(source, deinterlaces: deinterlaces)
    var (levels, times) = ([UInt8](), [Double]())
    let converter = FrameConverter()
    var pixels = [UInt8](repeating: 0, count: 3 * 32 * 24)
    while let time = try filtered.next() {
      try pixels.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        try converter.convert(
          filtered.frame, isImage: false, orientation: Orientation(),
          crop: .init(y: 0, x: 0, height: 24, width: 32), size: .init(height: 24, width: 32),
          output: base)
      }
      levels.append(pixels[400])
      times.append(time.seconds)
    }
    return (levels, times, filtered.warnings)
  }

  @Test func ordinaryVideoPassesAsItIs() throws {
    let (levels, times, warnings) = try pass(Source(3, level: 235) { _ in })
    #expect(levels == [255, 255, 255] && times == [0, 0.04, 0.08] && warnings.isEmpty)
  }

  @Test(.enabled(if: FilterLibrary.shared?.has("zscale") == true))
  func highDynamicRangeIsToneMapped() throws {
    // PQ's code for 100 cd/m², the white of SDR, is 0.508 of the range: 127 of 235.
    let pq: (inout AVFrame) -> Void = {
      $0.color_trc = AVCOL_TRC_SMPTE2084
      $0.color_primaries = AVCOL_PRI_BT2020
      $0.colorspace = AVCOL_SPC_BT2020_NCL
    }
    let white = try pass(Source(2, level: 127, pq))
    let peak = try pass(Source(2, level: 200, pq))
    #expect(white.warnings.contains { $0.contains("tone-mapped") })
    #expect(white.times == [0, 0.04])
    // Light that SDR cannot show needs headroom above its white.
    #expect((150...235).contains(white.levels[0]), "\(white.levels)")
    #expect(peak.levels[0] > white.levels[0])
    let black = try pass(Source(1, level: 16, pq))
    #expect(black.levels[0] <= 1)
  }

  @Test(.enabled(if: FilterLibrary.shared?.has("zscale") == true))
  func wideColoursKeepTheirGrey() throws {
    let (levels, _, warnings) = try pass(
      Source(1, level: 126) {
        $0.color_primaries = AVCOL_PRI_BT2020
        $0.color_trc = AVCOL_TRC_BT2020_10
      })
    #expect(abs(Int(levels[0]) - 128) <= 2, "\(levels)")
    #expect(warnings.contains { $0.contains("converted to BT.709") })
  }

  @Test func interlacedVideoIsNamedAndCanBeMadeWhole() throws {
    let fields: (inout AVFrame) -> Void = {
      $0.interlaced_frame = 1
      $0.top_field_first = 1
    }
    let asItIs = try pass(Source(4, level: 126, fields))
    #expect(asItIs.warnings.contains { $0.contains("--deinterlace") })
    let whole = try pass(Source(4, level: 126, fields), deinterlaces: true)
    #expect(whole.levels == asItIs.levels && whole.times == [0, 0.04, 0.08, 0.12])
    #expect(whole.warnings.isEmpty)
  }
}
