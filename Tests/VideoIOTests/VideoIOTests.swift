// Video files made on the spot, written and read back: formats, crops, scaling, errors. Over 500
// lines: one table of formats serves them all.
import CFFmpeg
@preconcurrency import Glibc
import Support
import Testing

@testable import VideoIO

@Suite struct RoundTrips {
  @Test(arguments: [
    (33, 17), (64, 48), (1, 1), (2, 3), (641, 355), (400, 3), (3, 400), (352, 288), (1, 9),
  ])
  func ffv1IsExact(_ width: Int, _ height: Int) throws {
    let scratch = try Scratch()
    let frames = (0..<4).map { picture(width, height, $0) }
    try writeVideo(scratch["a.mkv"], width, height, frames)
    let (read, reader) = try readAll(scratch["a.mkv"])
    #expect(read.map(\.pixels) == frames)
    #expect(reader.width == width && reader.height == height)
    #expect(reader.frameRate == Rational(25) && reader.warnings == [])
    #expect(read.map(\.time.seconds) == [0, 0.04, 0.08, 0.12])
    #expect(try scratch.contents == ["a.mkv"])
  }

  @Test func sameInputGivesTheSameFile() throws {
    let scratch = try Scratch()
    let frames = (0..<3).map { picture(40, 30, $0) }
    for name in ["a.mkv", "b.mkv"] { try writeVideo(scratch[name], 40, 30, frames) }
    #expect(try load(scratch["a.mkv"]) == load(scratch["b.mkv"]))
  }

  @Test func pngFolderIsExactAndReplacesOnlyItsOwn() throws {
    let scratch = try Scratch()
    let frames = (0..<12).map { picture(33, 17, $0) }
    try writeVideo(scratch["out/"], 33, 17, frames)
    #expect(try names(in: scratch["out"]).sorted().first == "frame_00001.png")
    #expect(try readAll(scratch["out"]).frames.map(\.pixels) == frames)
    // Shorter: no frame of the first run may stay.
    try writeVideo(scratch["out"], 33, 17, Array(frames.prefix(3)))
    #expect(
      try names(in: scratch["out"]).sorted() == [
        "frame_00001.png", "frame_00002.png", "frame_00003.png",
      ])
    try save(scratch["out/mine.txt"], [1])
    let error = failure { try writeVideo(scratch["out"], 33, 17, frames) }
    #expect(error.kind == .io && error.message.contains("mine.txt"))
    #expect(try scratch.contents == ["out"])
  }

  /// A frame that cannot be replaced ends the writing, and leaves every other one whole.
  @Test func aFolderOfFramesIsReplacedFrameByFrame() throws {
    let scratch = try Scratch()
    let frames = (0..<4).map { picture(33, 17, $0) }
    try writeVideo(scratch["out"], 33, 17, frames)
    let before = try load(scratch["out/frame_00004.png"])
    #expect(unlink(scratch["out/frame_00002.png"]) == 0)
    #expect(mkdir(scratch["out/frame_00002.png"], 0o777) == 0)
    let others = Array(frames.reversed().prefix(3))
    let error = failure { try writeVideo(scratch["out"], 33, 17, others) }
    #expect(error.kind == .io && error.message.contains("frame_00002.png"))
    #expect(try names(in: scratch["out"]).sorted() == (1...4).map { "frame_0000\($0).png" })
    #expect(try load(scratch["out/frame_00004.png"]) == before)
  }

  @Test func rawIsExact() throws {
    let scratch = try Scratch()
    let frames = (0..<3).map { picture(7, 5, $0) }
    try writeVideo(scratch["a.rgb"], 7, 5, frames)
    #expect(try load(scratch["a.rgb"]).count == 3 * 3 * 7 * 5)
    let (read, reader) = try readAll(scratch["a.rgb"]) {
      $0.raw = VideoOptions.Raw(width: 7, height: 5)
      $0.inputRate = Rational(30000, 1001)
    }
    #expect(read.map(\.pixels) == frames)
    #expect(reader.frameRate == Rational(30000, 1001))
    #expect(read[2].time == FrameTime(pts: 2, timeBase: Rational(1001, 30000)))
  }

  @Test func singleImages() throws {
    let scratch = try Scratch()
    let image = picture(13, 9, 0)
    try writeImage(scratch["a.png"], 13, 9, image)
    let interleaved = image.indices.map { image[$0 % 3 * 13 * 9 + $0 / 3] }
    try save(scratch["a.ppm"], Array("P6\n13 9\n255\n".utf8) + interleaved)
    for name in ["a.png", "a.ppm"] {
      #expect(try readAll(scratch[name]).frames.map(\.pixels) == [image])
    }
  }

  @Test(arguments: [(64, 48), (33, 17), (1280, 720)], [WriterOptions.Chroma.yuv444, .yuv420])
  func y4mKeepsFlatColours(_ size: (Int, Int), _ chroma: WriterOptions.Chroma) throws {
    let (width, height) = size
    let scratch = try Scratch()
    let frames = [flat(width, height, 255, 0, 0), flat(width, height, 20, 200, 90)]
    try writeVideo(scratch["a.y4m"], width, height, frames) { $0.chroma = chroma }
    let read = try readAll(scratch["a.y4m"]).frames
    #expect(read.count == 2)
    for (a, b) in zip(read, frames) { #expect(largestDifference(a.pixels, b) <= 3) }
  }

  @Test(.enabled(if: hasX264)) func x264KeepsPicturesRoughly() throws {
    let scratch = try Scratch()
    for (width, height) in [(64, 48), (33, 17)] {
      let frames = (0..<5).map { flat(width, height, UInt8(40 * $0), 120, 200) }
      let writer = try VideoWriter(path: scratch["a.mp4"], width: width, height: height)
      for frame in frames { try writer.write(frame) }
      try writer.close()
      #expect(writer.warnings.contains { $0.contains("lossy") })
      #expect(writer.warnings.contains { $0.contains("odd") } == (width % 2 == 1))
      let read = try readAll(scratch["a.mp4"]).frames
      #expect(read.count == 5)
      for (a, b) in zip(read, frames) { #expect(largestDifference(a.pixels, b) <= 8) }
    }
  }

  /// libavformat overlooks some failures, so a finished container is read back.
  @Test(.enabled(if: hasX264)) func whatAContainerLostIsFound() throws {
    let scratch = try Scratch()
    let frames = (0..<4).map { picture(64, 48, $0) }
    try writeVideo(scratch["a.mp4"], 64, 48, frames)
    let settings = StreamEncoder.Settings(
      name: "libx264", pixelFormat: AV_PIX_FMT_YUV420P, globalHeader: true)
    func problem(_ path: String, side: Int = 64, times: [Int64] = [0, 1, 2, 3], size: Int32 = 9)
      throws -> String?
    {
      let encoder = try StreamEncoder(settings, width: side, height: 48, path: "a")
      var check = try #require(ContainerCheck(container: "mp4", encoder: encoder.context))
      let packet = try Libav.newPacket()
      var owned: UnsafeMutablePointer<AVPacket>? = packet
      defer { av_packet_free(&owned) }
      packet.pointee.size = size
      for (i, time) in times.enumerated() {
        packet.pointee.pts = time
        packet.pointee.flags = i == 0 ? AV_PKT_FLAG_KEY : 0
        check.add(packet, Rational(1, 25))
      }
      do { try check.verify("file:" + path) } catch { return (error as? LunervError)?.message }
      return nil
    }
    #expect(try problem(scratch["a.mp4"]) == nil)
    #expect(try problem(scratch["a.mp4"], side: 32)?.contains("no such stream") == true)
    #expect(
      try problem(scratch["a.mp4"], times: [0, 1, 2, 3, 4])?.contains("4 of 5 frames") == true)
    #expect(try problem(scratch["a.mp4"], times: [0, 1, 2, 4])?.contains("not those") == true)
    #expect(try problem(scratch["a.mp4"], size: 9000)?.contains("not those") == true)
    #expect(try problem(scratch["none.mp4"])?.contains("cannot be read back") == true)
    // The first unit's length.
    var bytes = try load(scratch["a.mp4"])
    let start = try #require(bytes[...].firstRange(of: Array("mdat".utf8))).upperBound
    bytes[start + 2] ^= 0x40
    try save(scratch["b.mp4"], bytes)
    #expect(try problem(scratch["b.mp4"])?.contains("damaged") == true)
  }

  @Test func variableTimesSurvive() throws {
    let scratch = try Scratch()
    let frames = (0..<4).map { picture(16, 16, $0) }
    let times = [0, 40, 55, 300].map { FrameTime(pts: $0, timeBase: Rational(1, 1000)) }
    let files = hasX264 ? ["a.mkv", "a.mp4"] : ["a.mkv"]
    for name in files {
      try writeVideo(scratch[name], 16, 16, frames, times: times) {
        $0.timeBase = Rational(1, 1000)
      }
      let read = try readAll(scratch[name]).frames
      #expect(read.map(\.time.seconds) == [0, 0.04, 0.055, 0.3])
      let clip = try Clip(path: scratch[name])
      #expect(clip.timestamps == [0, 0.04, 0.055, 0.3])
    }
  }
}

@Suite struct Selection {
  @Test func rangesAndSteps() throws {
    let scratch = try Scratch()
    let frames = (0..<10).map { picture(16, 8, $0) }
    try writeVideo(scratch["a.mkv"], 16, 8, frames)
    let (some, reader) = try readAll(scratch["a.mkv"]) {
      $0.first = 2
      $0.last = 8
      $0.every = 3
    }
    #expect(some.map(\.pixels) == [frames[2], frames[5], frames[8]])
    #expect(some.map(\.time.seconds) == [0.08, 0.2, 0.32])
    #expect(reader.frameRate == Rational(25, 3))
    #expect(try readAll(scratch["a.mkv"]) { $0.last = 0 }.frames.map(\.pixels) == [frames[0]])
    let tooFar = failure { _ = try readAll(scratch["a.mkv"]) { $0.first = 10 } }
    #expect(tooFar.kind == .argument && tooFar.message.contains("only 10 frames"))
    let beyond = try readAll(scratch["a.mkv"]) { $0.last = 99 }
    #expect(beyond.frames.count == 10 && beyond.reader.warnings.count == 1)
    #expect(failure { _ = try readAll(scratch["a.mkv"]) { $0.every = 0 } }.kind == .argument)
    #expect(failure { _ = try readAll(scratch["a.mkv"]) { $0.maxFrames = 9 } }.kind == .memory)
  }

  @Test func cropIsExactAndChecked() throws {
    let scratch = try Scratch()
    let image = picture(20, 10, 3)
    try writeVideo(scratch["a.mkv"], 20, 10, [image])
    let read = try readAll(scratch["a.mkv"]) {
      $0.crop = VideoOptions.Crop(y: 2, x: 5, height: 3, width: 7)
    }.frames
    let expected = (0..<3).flatMap { c in
      (2..<5).flatMap { y in (5..<12).map { x in image[(c * 10 + y) * 20 + x] } }
    }
    #expect(read.map(\.pixels) == [expected])
    let error = failure {
      _ = try readAll(scratch["a.mkv"]) {
        $0.crop = VideoOptions.Crop(y: 8, x: 0, height: 3, width: 7)
      }
    }
    #expect(error.kind == .argument && error.message.contains("20x10"))
  }

  @Test func resizingKeepsChannelsApart() throws {
    let scratch = try Scratch()
    try writeVideo(scratch["a.mkv"], 64, 48, [flat(64, 48, 250, 3, 77)])
    for (height, width) in [(17, 33), (100, 200), (1, 1), (48, 32)] {
      let read = try readAll(scratch["a.mkv"]) {
        $0.size = VideoOptions.Size(height: height, width: width)
      }.frames
      #expect(read.map(\.pixels) == [flat(width, height, 250, 3, 77)])
    }
  }

  @Test func resamplingRepeatsAndDrops() throws {
    let scratch = try Scratch()
    let frames = (0..<6).map { picture(8, 8, $0) }
    try writeVideo(scratch["a.mkv"], 8, 8, frames)
    let double = try readAll(scratch["a.mkv"]) { $0.rate = Rational(50) }
    #expect(double.frames.map(\.pixels) == frames.flatMap { [$0, $0] })
    #expect(double.frames[3].time == FrameTime(pts: 3, timeBase: Rational(1, 50)))
    #expect(double.reader.frameRate == Rational(50))
    let same = try readAll(scratch["a.mkv"]) { $0.rate = Rational(25) }
    #expect(same.frames.map(\.pixels) == frames)
    let third = try readAll(scratch["a.mkv"]) { $0.rate = Rational(25, 3) }
    #expect(third.frames.count == 2)
  }
}

@Suite struct Colours {
  /// A Y4M of one flat frame.
  private func y4m(_ tags: String, _ size: Int, _ y: UInt8, _ u: UInt8, _ v: UInt8) -> [UInt8] {
    Array("YUV4MPEG2 W\(size) H\(size) F25:1 Ip A1:1 C444 \(tags)\nFRAME\n".utf8)
      + [y, u, v].flatMap { [UInt8](repeating: $0, count: size * size) }
  }

  @Test func matrixAndRange() throws {
    let scratch = try Scratch()
    // Pure red in BT.601 limited, BT.601 full, BT.709 limited (by height).
    let cases: [(String, Int, UInt8, UInt8, UInt8)] = [
      ("XCOLORRANGE=LIMITED", 32, 81, 90, 240), ("XCOLORRANGE=FULL", 32, 76, 85, 255),
      ("", 32, 81, 90, 240), ("", 720, 63, 102, 240),
    ]
    for (tags, size, y, u, v) in cases {
      try save(scratch["a.y4m"], y4m(tags, size, y, u, v))
      let read = try readAll(scratch["a.y4m"]).frames
      #expect(read.count == 1)
      #expect(largestDifference(read[0].pixels, flat(size, size, 255, 0, 0)) <= 2)
    }
  }

  @Test func deepSamplesAreRounded() throws {
    let scratch = try Scratch()
    let colours = [flat(32, 32, 0, 0, 0), flat(32, 32, 255, 255, 255), flat(32, 32, 90, 60, 200)]
    try writeVideo(
      scratch["a.mkv"], container: "matroska", codec: "ffv1", AV_PIX_FMT_YUV420P10LE, 32, 32,
      colours)
    let (read, reader) = try readAll(scratch["a.mkv"])
    #expect(reader.warnings.contains { $0.contains("10-bit") })
    for (a, b) in zip(read, colours) { #expect(largestDifference(a.pixels, b) <= 1) }
    // A 16-bit PPM: 0x8080 is 128.5/255 of a step above 128, 0x00ff rounds to 1.
    let samples: [UInt8] = [0x80, 0x80, 0x00, 0xff, 0xff, 0xff]
    try save(scratch["a.ppm"], Array("P6\n1 1\n65535\n".utf8) + samples)
    #expect(try readAll(scratch["a.ppm"]).frames.map(\.pixels) == [[128, 1, 255]])
  }

  @Test func greyAndRGBVariants() throws {
    let scratch = try Scratch()
    try save(scratch["a.pgm"], Array("P5\n2 1\n255\n".utf8) + [7, 250])
    #expect(try readAll(scratch["a.pgm"]).frames.map(\.pixels) == [[7, 250, 7, 250, 7, 250]])
    try save(scratch["a.pbm"], Array("P4\n2 1\n".utf8) + [0b0100_0000])
    #expect(try readAll(scratch["a.pbm"]).frames.map(\.pixels) == [[255, 0, 255, 0, 255, 0]])
    let image = picture(9, 5, 1)
    for (codec, format) in [
      ("png", AV_PIX_FMT_RGB24), ("qtrle", AV_PIX_FMT_RGB24), ("libx264rgb", AV_PIX_FMT_RGB24),
    ] where avcodec_find_encoder_by_name(codec) != nil {
      try writeVideo(scratch["a.mov"], container: "mov", codec: codec, format, 9, 5, [image])
      let read = try readAll(scratch["a.mov"]).frames
      #expect(read.count == 1)
      #expect(largestDifference(read[0].pixels, image) <= (codec == "libx264rgb" ? 24 : 0))
    }
  }

  @Test func rotationIsApplied() throws {
    let scratch = try Scratch()
    // 3×2, red channel 1 2 3 / 4 5 6.
    let image: [UInt8] = [1, 2, 3, 4, 5, 6] + [UInt8](repeating: 0, count: 12)
    try writeVideo(
      scratch["a.mov"], container: "mov", codec: "png", AV_PIX_FMT_RGB24, 3, 2, [image])
    let original = try load(scratch["a.mov"])
    let tag = Array("tkhd".utf8)
    let at = try #require((0..<original.count - 4).first { Array(original[$0..<$0 + 4]) == tag })
    // a b u c d v x y w of the track header; u, v, w keep their 2.30 one.
    let turns: [([Int32], Int, [UInt8])] = [
      ([1, 0, 0, 1], 3, [1, 2, 3, 4, 5, 6]), ([0, 1, -1, 0], 2, [4, 1, 5, 2, 6, 3]),
      ([-1, 0, 0, -1], 3, [6, 5, 4, 3, 2, 1]), ([0, -1, 1, 0], 2, [3, 6, 2, 5, 1, 4]),
      ([-1, 0, 0, 1], 3, [3, 2, 1, 6, 5, 4]),
    ]
    for (matrix, width, red) in turns {
      var bytes = original
      for (slot, value) in zip([0, 1, 3, 4], matrix) {
        let word = UInt32(bitPattern: value << 16)
        for k in 0..<4 {
          bytes[at + 44 + 4 * slot + k] = UInt8(truncatingIfNeeded: word >> (24 - 8 * UInt32(k)))
        }
      }
      try save(scratch["b.mov"], bytes)
      let (read, reader) = try readAll(scratch["b.mov"])
      #expect(reader.width == width)
      #expect(read.map { Array($0.pixels.prefix(6)) } == [red])
    }
  }
}

@Suite struct Folders {
  @Test func naturalOrder() {
    let names = ["f10.png", "f2.png", "f1.png", "f02b.png", "a.png", "f100000000000000000000.png"]
    #expect(
      names.sorted(by: naturallyBefore) == [
        "a.png", "f1.png", "f2.png", "f02b.png", "f10.png", "f100000000000000000000.png",
      ])
    #expect(naturallyBefore("01", "1") != naturallyBefore("1", "01"))
    #expect(!naturallyBefore("7", "7"))
  }

  @Test func sequenceAndFaults() throws {
    let scratch = try Scratch()
    func put(_ name: String, _ width: Int, _ index: Int) throws {
      try writeImage(scratch[name], width, 6, picture(width, 6, index))
    }
    for index in [1, 2, 10] { try put("i\(index).png", 8, index) }
    try save(scratch["notes.txt"], [65])
    let clip = try Clip(path: scratch.path)
    #expect(clip.count == 3 && clip.warnings.count == 1)
    for (place, index) in [1, 2, 10].enumerated() {
      #expect(try clip.withFrame(place) { Array($0) } == picture(8, 6, index))
    }
    try put("i11.png", 9, 0)
    let error = failure { _ = try Clip(path: scratch.path) }
    #expect(error.kind == .data && error.message.contains("9x6"))
    try save(scratch["i11.png"], Array(load(scratch["i10.png"]).prefix(70)))
    let broken = failure { _ = try Clip(path: scratch.path) }
    #expect(broken.kind == .data && broken.message.contains("i11.png"))
    let empty = try Scratch()
    #expect(failure { _ = try Clip(path: empty.path) }.message.contains("no image"))
  }
}

@Suite struct BadFiles {
  /// Opening a file must fail with this kind and a one-line message that begins with the path.
  private func refuse(
    _ scratch: Scratch, _ name: String, _ bytes: [UInt8], _ kind: LunervError.Kind,
    _ word: String
  ) throws {
    try save(scratch[name], bytes)
    let error = failure { _ = try Clip(path: scratch[name]) }
    #expect(error.kind == kind)
    #expect(error.message.hasPrefix(scratch[name]) && !error.message.contains("\n"))
    #expect(error.message.contains(word), "\(error.message)")
  }

  @Test func noVideoInside() throws {
    let scratch = try Scratch()
    try refuse(scratch, "empty.mp4", [], .data, "empty")
    try refuse(scratch, "a.txt", Array("hello, this is text\n".utf8), .data, "not a video")
    try refuse(scratch, "text.mkv", Array("hello, this is text\n".utf8), .data, "")
    var wav = Array("RIFF".utf8) + [36 + 200, 0, 0, 0] + Array("WAVEfmt ".utf8)
    wav += [16, 0, 0, 0, 1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x80, 0x3e, 0, 0, 2, 0, 16, 0]
    wav += Array("data".utf8) + [200, 0, 0, 0] + [UInt8](repeating: 0, count: 200)
    try refuse(scratch, "a.wav", wav, .data, "only audio")
    try refuse(scratch, "a.yuv", [1, 2, 3], .usage, "headerless")
    let missing = failure { _ = try Clip(path: scratch["none.mkv"]) }
    #expect(missing.kind == .io && missing.message.contains("no such file"))
    #expect(failure { _ = try Clip(path: "") }.kind == .argument)
    #expect(failure { _ = try Clip(path: "a\0b") }.kind == .argument)
  }

  @Test func jpegIsOneImage() throws {
    let scratch = try Scratch()
    let settings = StreamEncoder.Settings(
      name: "mjpeg", pixelFormat: AV_PIX_FMT_YUVJ420P, threads: 1)
    let encoder = try StreamEncoder(settings, width: 40, height: 24, path: "a.jpg")
    var bytes: [UInt8] = []
    for frame in [flat(40, 24, 128, 128, 128), nil] {
      try encoder.encode(frame, pts: 0) {
        bytes += UnsafeBufferPointer(start: $0.pointee.data, count: Int($0.pointee.size))
      }
    }
    try save(scratch["a.jpg"], bytes)
    let (read, reader) = try readAll(scratch["a.jpg"])
    #expect(read.count == 1 && reader.width == 40 && reader.height == 24)
    try refuse(scratch, "b.jpg", Array(bytes.prefix(bytes.count / 3)), .data, "b.jpg")
  }

  @Test func nothingElseIsOpened() throws {
    let scratch = try Scratch()
    try writeVideo(scratch["a.mkv"], 8, 8, [picture(8, 8, 0)])
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.mkv\n#EXT-X-ENDLIST\n"
    try refuse(scratch, "a.m3u8", Array(playlist.utf8), .data, "rejected")
    try refuse(
      scratch, "a.ffconcat", Array("ffconcat version 1.0\nfile a.mkv\n".utf8), .data, "rejected")
    let error = failure { _ = try Clip(path: "https://example.invalid/a.mp4") }
    #expect(error.kind == .io && error.message.contains("no such file"))
  }

  @Test func absurdSizes() throws {
    let scratch = try Scratch()
    for (width, height) in [("100000", "100000"), ("2147483647", "2147483647"), ("-5", "7")] {
      let header = Array("YUV4MPEG2 W\(width) H\(height) F25:1 C420\nFRAME\n".utf8)
      try save(scratch["a.y4m"], header + [UInt8](repeating: 0, count: 100))
      let error = failure { _ = try Clip(path: scratch["a.y4m"]) }
      #expect(error.message.hasPrefix(scratch["a.y4m"]))
    }
    try save(scratch["a.ppm"], Array("P6\n60000 60000\n255\n".utf8) + [0, 0, 0])
    #expect(failure { _ = try Clip(path: scratch["a.ppm"]) }.message.contains("a.ppm"))
    try writeVideo(scratch["a.mkv"], 64, 64, [picture(64, 64, 0)])
    let small = failure { _ = try readAll(scratch["a.mkv"]) { $0.maxPixels = 4095 } }
    #expect(small.kind == .memory && small.message.contains("64x64"))
  }

  @Test func truncatedFilesSayHowMuchIsLeft() throws {
    let scratch = try Scratch()
    let frames = (0..<10).map { picture(48, 32, $0) }
    var files = ["a.mkv", "a.y4m"]
    if hasX264 { files.append("a.mp4") }
    for name in files {
      try writeVideo(scratch[name], 48, 32, frames)
      let bytes = try load(scratch[name])
      try save(scratch[name], Array(bytes.prefix(bytes.count * 6 / 10)))
      let error = failure { _ = try Clip(path: scratch[name]) }
      #expect(error.kind == .data && error.message.contains("can be read"), "\(error.message)")
      let (read, reader) = try readAll(scratch[name]) { $0.allowTruncated = true }
      #expect(read.count >= 4 && read.count <= 6, "\(name) \(read.count)")
      #expect(reader.warnings.contains { $0.contains("\(read.count) of") }, "\(reader.warnings)")
      if name == "a.mkv" { #expect(read.map(\.pixels) == Array(frames.prefix(read.count))) }
      // What was asked for is there: no complaint.
      #expect(try readAll(scratch[name]) { $0.last = 1 }.frames.count == 2)
    }
    try save(scratch["h.y4m"], Array("YUV4MPEG2 W8 H8 F25:1 C444\n".utf8))
    let none = failure { _ = try Clip(path: scratch["h.y4m"]) }
    #expect(none.kind == .data && none.message.contains("no frame"), "\(none.message)")
    try save(scratch["a.rgb"], [UInt8](repeating: 9, count: 3 * 64 + 50))
    let partial = failure {
      _ = try readAll(scratch["a.rgb"]) { $0.raw = VideoOptions.Raw(width: 8, height: 8) }
    }
    #expect(partial.kind == .data && partial.message.contains("1 "), "\(partial.message)")
  }

  @Test func concealedDamageIsNoticed() throws {
    let scratch = try Scratch()
    try writeVideo(scratch["a.mkv"], 48, 32, (0..<6).map { picture(48, 32, $0) })
    var bytes = try load(scratch["a.mkv"])
    bytes[bytes.count / 2] ^= 0x10
    try save(scratch["a.mkv"], bytes)
    let error = failure { _ = try Clip(path: scratch["a.mkv"]) }
    #expect(error.kind == .data && error.message.contains("5 frames"), "\(error.message)")
  }

  /// Damage anywhere is an error or, if the decoder does not notice it, a picture; never a trap.
  @Test func flippedBytesNeverTrap() throws {
    let scratch = try Scratch()
    for name in hasX264 ? ["a.mkv", "a.mp4"] : ["a.mkv"] {
      try writeVideo(scratch[name], 48, 32, (0..<4).map { picture(48, 32, $0) })
      let sound = try load(scratch[name])
      var state: UInt64 = 7
      var refused = 0
      for _ in 0..<150 {
        var bytes = sound
        for _ in 0..<3 {
          state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          bytes[Int(state >> 33) % bytes.count] ^= UInt8(truncatingIfNeeded: state >> 20) | 1
        }
        try save(scratch["b-" + name], bytes)
        do { _ = try Clip(path: scratch["b-" + name]) } catch { refused += 1 }
      }
      #expect(refused > 0)
    }
  }
}

@Suite struct Clips {
  @Test(arguments: [0, 3 * 16 * 8 * 4, Int.max])
  func framesInAnyOrder(_ cacheBytes: Int) throws {
    let scratch = try Scratch()
    let cache = try Scratch()
    let frames = (0..<20).map { picture(16, 8, $0) }
    try writeVideo(scratch["a.mkv"], 16, 8, frames)
    let clip = try Clip(
      path: scratch["a.mkv"], cacheBytes: cacheBytes, cacheDirectory: cache.path)
    // The file has no name even while it is in use.
    #expect(try cache.contents == [])
    #expect(clip.count == 20 && !clip.hasAudio)
    for index in [19, 0, 7, 3, 4, 7, 12, 19] + Array(0..<20) {
      clip.prefetch((index + 5) % 25)
      #expect(try clip.withFrame(index) { Array($0) } == frames[index])
    }
    for index in [-1, 20] {
      #expect(failure { try clip.withFrame(index) { _ in } }.kind == .argument)
    }
  }

  @Test func closing() throws {
    let scratch = try Scratch()
    try writeVideo(scratch["a.mkv"], 16, 8, [picture(16, 8, 0), picture(16, 8, 1)])
    let clip = try Clip(path: scratch["a.mkv"], cacheBytes: 0, cacheDirectory: scratch.path)
    // Closing from within leaves the bytes valid until the body ends.
    let kept = try clip.withFrame(1) { bytes in
      clip.close()
      return Array(bytes)
    }
    #expect(kept == picture(16, 8, 1))
    clip.close()
    clip.prefetch(0)
    #expect(clip.isClosed)
    #expect(failure { try clip.withFrame(0) { _ in } }.message.contains("closed"))
  }

  @Test func unwritableCacheIsAnError() throws {
    let scratch = try Scratch()
    try writeVideo(scratch["a.mkv"], 16, 8, [picture(16, 8, 0)])
    let error = failure {
      _ = try Clip(path: scratch["a.mkv"], cacheBytes: 0, cacheDirectory: scratch["none"])
    }
    #expect(error.kind == .io && error.message.contains("cache"))
  }

  @Test func interruption() throws {
    let scratch = try Scratch()
    try writeVideo(scratch["a.mkv"], 16, 8, [picture(16, 8, 0)])
    var options = VideoOptions()
    options.interrupted = { true }
    let error = failure { _ = try Clip(path: scratch["a.mkv"], options: options) }
    #expect(error.kind == .interrupted)
  }
}

@Suite struct Writers {
  @Test func nothingHalfWritten() throws {
    let scratch = try Scratch()
    try save(scratch["old.mkv"], [1, 2, 3])
    for name in ["old.mkv", "a.y4m", "a.rgb", "dir/"] {
      let writer = try VideoWriter(path: scratch[name], width: 8, height: 8)
      try writer.write(picture(8, 8, 0))
      // The target is unchanged; the new file is next to it.
      #expect(try scratch.contents.filter { !$0.hasPrefix(".") } == ["old.mkv"])
      writer.cancel()
      #expect(failure { try writer.write(picture(8, 8, 0)) }.message.contains("closed"))
      do {
        let dropped = try VideoWriter(path: scratch[name], width: 8, height: 8)
        try dropped.write(picture(8, 8, 0))
      }
      let empty = try VideoWriter(path: scratch[name], width: 8, height: 8)
      #expect(failure { try empty.close() }.kind == .argument)
      #expect(try scratch.contents == ["old.mkv"])
    }
    #expect(try load(scratch["old.mkv"]) == [1, 2, 3])
    let writer = try VideoWriter(path: scratch["old.mkv"], width: 8, height: 8)
    try writer.write(picture(8, 8, 0))
    try writer.close()
    try writer.close()
    #expect(try readAll(scratch["old.mkv"]).frames.count == 1)
    #expect(try scratch.contents == ["old.mkv"])
  }

  @Test func refusals() throws {
    let scratch = try Scratch()
    func open(_ name: String, _ format: VideoFormat? = nil) -> LunervError {
      var options = WriterOptions()
      options.format = format
      return failure { _ = try VideoWriter(path: name, width: 8, height: 8, options: options) }
    }
    #expect(open(scratch["a.webm"]).kind == .usage)
    #expect(open(scratch["a.mp4"], .ffv1).kind == .usage)
    #expect(open("-", .png).kind == .usage)
    #expect(open("/dev/null", .raw).kind == .io)
    #expect(open(scratch["none/a.mkv"]).kind == .io)
    #expect(failure { _ = try VideoWriter(path: "-", width: 0, height: 8) }.kind == .argument)
    #expect(
      failure { _ = try StreamEncoder.find("no_such_encoder", path: "x") }.message.contains(
        "missing"))
    let writer = try VideoWriter(path: scratch["a.mkv"], width: 8, height: 8)
    #expect(failure { try writer.write([1, 2, 3]) }.kind == .argument)
    let zero = FrameTime(pts: 0, timeBase: Rational(1, 25))
    try writer.write(picture(8, 8, 0), at: zero)
    #expect(failure { try writer.write(picture(8, 8, 0), at: zero) }.message.contains("increase"))
    try writer.write(picture(8, 8, 1))
    try writer.close()
    #expect(try readAll(scratch["a.mkv"]).frames.count == 2)
  }

  @Test func aClosedPipeIsAnError() async {
    await #expect(processExitsWith: .success) {
      var ends: [Int32] = [0, 0]
      guard pipe(&ends) == 0 else { exit(2) }
      close(ends[0])
      dup2(ends[1], STDOUT_FILENO)
      do {
        let writer = try VideoWriter(path: "-", width: 8, height: 8)
        try writer.write([UInt8](repeating: 0, count: 192))
        exit(3)
      } catch {
        exit("\(error)".contains("closed the pipe") ? 0 : 4)
      }
    }
  }

  @Test func rates() {
    #expect(Rational(approximating: 29.97) == Rational(30000, 1001))
    #expect(Rational(approximating: 23.976) == Rational(24000, 1001))
    #expect(Rational(approximating: 24) == Rational(24))
    #expect(Rational(approximating: 12.5) == Rational(25, 2))
    #expect(FrameTime(seconds: .nan) == nil)
  }
}
