@_exported import Lunerv
import Bindings
import LuaBridge
import Support

/// What a file may use while it is decoded; nil for what follows from the size of its frames and of the
/// file, twenty times what the published decoders take. docs/security.md has the formulas.
public struct Limits: Sendable {
  /// Elements, multiplications and additions, for the start of each segment and for each frame. A
  /// second of processor time goes with every 500 million, and two more.
  public var work: Int?
  /// Bytes of tensors in the process that decodes.
  public var memory: Int?
  /// Bytes of tensors in this process.
  public var ownMemory: Int?
  /// Whether files are decoded in a process without rights. False, for files that one trusts,
  /// decodes with decoders of the library in this process, and lets a system run the others that
  /// cannot confine a process.
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
/// Frames count from 0. Each decodes by itself, a frame that follows the last one fastest. Where a
/// file has several segments, the network of one is held at a time.
///
/// **Errors** are `LunervError`s: `.io` for a file that cannot be read, and for lack of a program
/// that may run a decoder from a file; `.data` for one that is damaged, no `.lnv`, or whose decoder
/// fails or exceeds its limits, with the section's name; `.memory`; `.argument` for a frame that there
/// is not, or a buffer of the wrong size; `.interrupted` after ``Interrupter/interrupt()``. All
/// checksums are checked when the file is opened.
///
/// **Threads.** One at a time; several videos decode independently on several threads.
///
/// Files are decoded in a process of their own, without rights; see `runIfDecoderProcess()` for the
/// program that it runs. It ends with the video.
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

  /// What stops ``decode(_:planes:)`` and its like from another thread.
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
  /// - Throws: `.argument` for a frame that there is not.
  public func timestamp(of index: Int) throws -> Double {
    try check(index)
    return timestamps?[index] ?? (framesPerSecond > 0 ? Double(index) / framesPerSecond : 0)
  }

  // MARK: - Frames

  /// Runs `body` over a frame's numbers near [0, 1], planar: red before green before blue, each row
  /// after row, 3·width·height in all. Nothing is copied; the buffer is valid until `body` returns.
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

  /// Writes a frame as levels into a buffer of 3·width·height bytes: row after row, red, green and
  /// blue of each pixel. They are those that `lunerv decompress` writes.
  public func decode(_ index: Int, rgb8 pixels: UnsafeMutableBufferPointer<UInt8>) throws {
    try checkRoom(pixels.count)
    try tensor(index).copyRGB8(to: pixels)
  }

  /// Runs `body` over frames in order, all of them unless a range says which, as ``withFrame(_:_:)``.
  /// An error that `body` throws ends it.
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
