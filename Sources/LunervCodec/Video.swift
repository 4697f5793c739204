@_exported import Lunerv
import Bindings
import LuaBridge
import Support

/// The limits on decoding a file. nil means a limit by the size of its frames and of the file: twenty
/// times the needs of the published decoders. docs/security.md has the formulas.
public struct Limits: Sendable {
  /// Elements, multiplications and additions, for the start of each segment and for each frame. The
  /// processor time is limited to one second per 500 million, plus two.
  public var work: Int?
  /// Bytes of tensors in the process that decodes.
  public var memory: Int?
  /// Bytes of tensors in this process.
  public var ownMemory: Int?
  /// Whether files are decoded in a confined process. With false, for trusted files, decoders of the
  /// library run in this process, and other decoders also on systems that cannot confine processes.
  public var isConfined: Bool

  public init(
    work: Int? = nil, memory: Int? = nil, ownMemory: Int? = nil, isConfined: Bool = true
  ) {
    (self.work, self.memory, self.ownMemory, self.isConfined) = (
      work, memory, ownMemory, isConfined
    )
  }
}

/// A compressed video, a `.lnv` file, to be decoded frame by frame in any order.
///
/// ```swift
/// runIfDecoderProcess()                              // first in main: see there
/// let video = try Video(path: "clip.lnv")
/// var pixels = [UInt8](repeating: 0, count: 3 * video.width * video.height)
/// for i in 0..<video.count {
///   try pixels.withUnsafeMutableBufferPointer { try video.decode(i, rgb8: $0) }
///   show(pixels, at: video.timestamp(of: i))
/// }
/// ```
///
/// Frames count from 0. Each can be decoded alone; the frame after the last decoded one is fastest. If
/// a file has several segments, memory holds the network of one at a time.
///
/// **Errors** are `LunervError`s: `.io` for an unreadable file, or if the program of the confined
/// process is missing; `.data`, with the section's name, for a file that is damaged, not a `.lnv`, or
/// whose decoder fails or exceeds its limits; `.memory`; `.argument` for a frame out of range, or a
/// buffer of the wrong size; `.interrupted` after ``Interrupter/interrupt()``. All checksums are checked
/// when the file is opened.
///
/// **Threads.** A video is used by one thread at a time; several videos decode independently.
///
/// Files are decoded in a confined process, which ends with the video; see `runIfDecoderProcess()` for
/// its program.
public final class Video {
  public let width: Int
  public let height: Int
  /// The number of frames.
  public let count: Int
  /// Frames per second; the average if their times are individual.
  public let framesPerSecond: Double
  /// The seconds of every frame from the beginning; nil at a constant rate.
  public let timestamps: [Double]?
  /// The size of the file.
  public let byteCount: Int
  /// 8 · byteCount / (width · height · count).
  public let bitsPerPixel: Double

  private let core: Core
  private let frame: LuaFunction

  /// Stops ``decode(_:planes:)`` and similar calls from another thread.
  public let interrupter: Interrupter

  /// Opens a file and decodes the network of its first frames.
  public convenience init(path: String, limits: Limits = Limits()) throws {
    let bytes = try Files.read(path)
    do {
      try self.init(bytes: bytes, limits: limits)
    } catch var error as LunervError where error.kind == .data {
      error.message = "\(path): \(error.message)"
      throw error
    }
  }

  /// The same for a file's bytes.
  public init(bytes: [UInt8], limits: Limits = Limits()) throws {
    for (name, value) in [
      ("work", limits.work), ("memory", limits.memory), ("ownMemory", limits.ownMemory),
    ] {
      if let value, value < 1 {
        throw LunervError(.argument, "limits: \(name): expected a number above 0, got \(value)")
      }
    }
    core = try Core(stdlib: nil)
    interrupter = Interrupter(core.stop)
    if let memory = limits.ownMemory { core.numbers.memoryLimit = memory }
    let facts = try core.results { [core] in
      try core.lua.run(
        source: """
          local bytes, work, memory, confined = ...
          local video <const> = require("lunerv.codec").decode(bytes,
            { max_work = work, max_memory = memory, confined = confined })
          function decode(i) return video:frame(i) end
          return video.width, video.height, video.frames, video.fps, video.bytes, video.bpp,
            video.timestamps or {}
          """, chunkName: "@lunerv:embedding.lua",
        passing: [LuaBytes(bytes), limits.work, limits.memory, limits.isConfined])
    }
    frame = try core.lua.load(source: "return decode(...)", chunkName: "@lunerv:embedding.lua")
    let times = facts[6].list?.compactMap(\.number) ?? []
    (width, height) = (facts[0].integer ?? 0, facts[1].integer ?? 0)
    (count, framesPerSecond) = (facts[2].integer ?? 0, facts[3].number ?? 0)
    (byteCount, bitsPerPixel) = (facts[4].integer ?? 0, facts[5].number ?? 0)
    timestamps = times.isEmpty ? nil : times
  }

  /// The seconds at which a frame is shown, from the beginning.
  ///
  /// - Throws: `.argument` for a frame out of range.
  public func timestamp(of index: Int) throws -> Double {
    try check(index)
    return timestamps?[index] ?? (framesPerSecond > 0 ? Double(index) / framesPerSecond : 0)
  }

  // MARK: - Frames

  /// Runs `body` over a frame's numbers near [0, 1], 3·width·height in all: the planes of red, green
  /// and blue, each row by row. Nothing is copied; the buffer is valid until `body` returns.
  public func withFrame<R>(
    _ index: Int, _ body: (UnsafeBufferPointer<Float>) throws -> R
  ) throws -> R {
    try tensor(index).withUnsafeFloats(body)
  }

  /// Writes a frame's numbers as ``withFrame(_:_:)`` gives them into a buffer of 3·width·height.
  public func decode(_ index: Int, planes: UnsafeMutableBufferPointer<Float>) throws {
    try checkRoom(planes.count)
    try withFrame(index) { _ = planes.update(fromContentsOf: $0) }
  }

  /// Writes a frame as 8-bit levels into a buffer of 3·width·height bytes: row by row, red, green and
  /// blue of each pixel, the same as `lunerv decompress` writes.
  public func decode(_ index: Int, rgb8 pixels: UnsafeMutableBufferPointer<UInt8>) throws {
    try checkRoom(pixels.count)
    try tensor(index).copyRGB8(to: pixels)
  }

  /// Runs `body` over frames in order, like ``withFrame(_:_:)``: all frames, or a range of them. An
  /// error thrown by `body` ends the loop.
  public func forEach(
    in range: Range<Int>? = nil,
    _ body: (_ index: Int, _ planes: UnsafeBufferPointer<Float>) throws -> Void
  ) throws {
    for index in range ?? 0..<count { try withFrame(index) { try body(index, $0) } }
  }

  private func check(_ index: Int) throws {
    guard (0..<count).contains(index) else {
      throw LunervError(.argument, "frame: expected 0 to \(count - 1), got \(index)")
    }
  }

  private func checkRoom(_ numbers: Int) throws {
    guard numbers == 3 * width * height else {
      throw LunervError(
        .argument, "decode: expected room for 3·\(width)·\(height) numbers, got \(numbers)")
    }
  }

  private func tensor(_ index: Int) throws -> Tensor {
    try check(index)
    guard !core.stop.isBusyElsewhere else {
      throw LunervError(.argument, "the video is in use by another thread")
    }
    let results = try core.results { try frame.run([index + 1]) }
    guard let tensor = results.first?.tensor, tensor.shape == [1, 3, height, width] else {
      throw LunervError(.data, "frame \(index): the decoder gave no frame of \(width)×\(height)")
    }
    return tensor
  }
}
