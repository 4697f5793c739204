import CFFmpeg
@preconcurrency import Glibc
import Support
import Testing

@testable import VideoIO

/// A temporary folder that exists while a test runs.
final class Scratch {
  let path: String

  init() throws {
    var template = Array("/tmp/lunerv-video-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw systemError("mkdtemp") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { Self.remove(path) }

  subscript(_ name: String) -> String { path + "/" + name }

  /// The content of the folder, including hidden files.
  var contents: [String] { get throws { try names(in: path).sorted() } }

  private static func remove(_ path: String) {
    if (try? PathKind(path)) == .folder {
      for name in (try? names(in: path)) ?? [] { remove(path + "/" + name) }
      rmdir(path)
    } else {
      unlink(path)
    }
  }
}

func save(_ path: String, _ bytes: [UInt8]) throws {
  let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
  guard file >= 0 else { throw systemError(path) }
  defer { close(file) }
  let written = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
  #expect(written == bytes.count)
}

func load(_ path: String) throws -> [UInt8] {
  guard case .file(let size) = try PathKind(path) else { throw systemError(path, ENOENT) }
  let file = open(path, O_RDONLY)
  guard file >= 0 else { throw systemError(path) }
  defer { close(file) }
  var bytes = [UInt8](repeating: 0, count: size)
  let count = bytes.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
  #expect(count == size)
  return bytes
}

/// A picture that differs in every pixel, channel and frame: noise over a gradient.
func picture(_ width: Int, _ height: Int, _ index: Int) -> [UInt8] {
  var state = UInt32(truncatingIfNeeded: 977 * index + 1)
  return (0..<(3 * width * height)).map { position in
    state = state &* 1_664_525 &+ 1_013_904_223
    return UInt8(truncatingIfNeeded: UInt32(position % width) &* 5 &+ (state >> 24) & 63)
  }
}

/// A picture of one colour.
func flat(_ width: Int, _ height: Int, _ r: UInt8, _ g: UInt8, _ b: UInt8) -> [UInt8] {
  [r, g, b].flatMap { [UInt8](repeating: $0, count: width * height) }
}

func writeVideo(
  _ path: String, _ width: Int, _ height: Int, _ frames: [[UInt8]], times: [FrameTime]? = nil,
  _ change: (inout WriterOptions) -> Void = { _ in }
) throws {
  var options = WriterOptions()
  change(&options)
  let writer = try VideoWriter(path: path, width: width, height: height, options: options)
  for (index, frame) in frames.enumerated() { try writer.write(frame, at: times?[index]) }
  try writer.close()
}

/// One picture as a PNG file.
func writeImage(_ path: String, _ width: Int, _ height: Int, _ pixels: [UInt8]) throws {
  var bytes: [UInt8] = []
  let encoder = try StreamEncoder(.png, width: width, height: height, path: path)
  try encoder.encode(pixels, pts: 0) {
    bytes += UnsafeBufferPointer(start: $0.pointee.data, count: Int($0.pointee.size))
  }
  try save(path, bytes)
}

func readAll(
  _ path: String, _ change: (inout VideoOptions) -> Void = { _ in }
) throws -> (frames: [VideoFrame], reader: VideoReader) {
  var options = VideoOptions()
  change(&options)
  let reader = try VideoReader(path: path, options: options)
  var frames: [VideoFrame] = []
  while let frame = try reader.next() { frames.append(frame) }
  return (frames, reader)
}

/// The error that `body` throws; a failed expectation if it throws none.
func failure(_ body: () throws -> Void) -> LunervError {
  do {
    try body()
  } catch let error as LunervError {
    return error
  } catch {
    Issue.record("another error: \(error)")
  }
  Issue.record("no error was thrown")
  return LunervError(.usage, "")
}

func largestDifference(_ a: [UInt8], _ b: [UInt8]) -> Int {
  guard a.count == b.count else { return .max }
  return zip(a, b).map { abs(Int($0) - Int($1)) }.max() ?? 0
}

/// A video in any codec and pixel format of libav, written by the library's own muxer.
func writeVideo(
  _ path: String, container: String, codec: String, _ pixelFormat: AVPixelFormat, _ width: Int,
  _ height: Int, _ frames: [[UInt8]]
) throws {
  let sink = try MuxedSink(
    path: path, container: container,
    settings: StreamEncoder.Settings(name: codec, pixelFormat: pixelFormat), width: width,
    height: height)
  for (index, frame) in frames.enumerated() { try sink.write(frame, pts: Int64(index)) }
  try sink.finish()
}

var hasX264: Bool { avcodec_find_encoder_by_name("libx264") != nil }
