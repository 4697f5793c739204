import CSandbox
@preconcurrency import Glibc
import Kernels
import LuaBridge
import Support
import Tensors

/// The other side of a ``DecoderProcess``: gives up all rights, takes a file from its input, and
/// answers there.
public enum ConfinedDecoder {
  public static let command = DecoderProcess.command
  /// Lua objects of a program, and the file itself, have so much room.
  private static let heapLimit = 128 << 20
  /// Address space that is promised, not touched: stacks, the allocator's reserve, the BLAS's.
  private static let reserve = 512 << 20

  /// - Parameter words: threads, work, bytes of tensors, seconds of processor time, the version of
  ///   the program that asks.
  /// - Returns: the process's exit code.
  public static func run(_ words: [String]) -> Int32 {
    do {
      let numbers = words.prefix(4).compactMap { Int($0) }
      guard words.count == 5, numbers.count == 4, numbers.allSatisfy({ $0 > 0 }) else { return 2 }
      guard words[4] == Version.text else {
        throw LunervError(
          .data, "expected lunerv \(words[4]) to run it, found \(Version.text)")
      }
      try serve(threads: numbers[0], work: numbers[1], memory: numbers[2], seconds: numbers[3])
      return 0
    } catch let error as LunervError {
      // A section that is damaged has no place in a script.
      let text = error.kind == .data ? error.description : error.text
      try? answer(1, Array(text.utf8.prefix(4096)))
    } catch {
      try? answer(1, Array("\(error)".utf8.prefix(4096)))
    }
    return 1
  }

  private static func serve(threads: Int, work: Int, memory: Int, seconds: Int) throws {
    lunerv_close_from(3)
    // Threads cannot be started afterwards.
    ThreadPool.shared.threads = threads
    ThreadPool.shared.start()
    let file = try receiveFile()
    let pages = Int(try Files.readText("/proc/self/statm").prefix { $0 != " " }) ?? 0
    let space = pages * sysconf(Int32(_SC_PAGESIZE)) + memory + heapLimit + reserve
    guard lunerv_confine(UInt64(seconds), UInt64(space)) else {
      throw LunervError(.io, "this system does not let a process give up its rights")
    }
    let host = try Host(confinedTo: heapLimit + 4 * file.count) { define($0, file) }
    host.session.memoryLimit = memory
    host.session.workLeft = work
    try host.lua.run(
      source: "require 'lunerv.codec.confined'", chunkName: "@lunerv:codec/boot.lua")
  }

  private static func define(_ m: LuaModule, _ file: [UInt8]) {
    m.define("confined_file", doc: "The file to decode.") { () -> LuaBytes in LuaBytes(file) }
    m.define("confined_ready", doc: "Says that frames can be asked for.") { try answer(0, []) }
    m.define("confined_request", doc: "The frame that is wanted next, or nil at the end.") {
      () -> Int? in
      var index: UInt64 = 0
      let complete = try withUnsafeMutableBytes(of: &index) { try read(into: $0) }
      return complete ? Int(exactly: UInt64(littleEndian: index)) : nil
    }
    m.define("confined_answer", params: ["frame"], doc: "Gives a frame, (1, 3, height, width).") {
      (frame: Tensor) in
      try frame.withBytes { bytes in
        try head(0, bytes.count)
        try write(bytes)
      }
    }
  }

  // MARK: - The pipe

  private static func receiveFile() throws -> [UInt8] {
    var count: UInt64 = 0
    guard try withUnsafeMutableBytes(of: &count, { try read(into: $0) }),
      let size = Int(exactly: UInt64(littleEndian: count)), size <= 1 << 40
    else { throw LunervError(.io, "no file") }
    var file = [UInt8](repeating: 0, count: size)
    guard try file.withUnsafeMutableBytes({ try read(into: $0) }) else {
      throw LunervError(.io, "half a file")
    }
    return file
  }

  /// Fills the buffer; false when the other side has ended.
  private static func read(into bytes: UnsafeMutableRawBufferPointer) throws -> Bool {
    var done = 0
    while done < bytes.count {
      let n = Glibc.read(0, bytes.baseAddress.map { $0 + done }, bytes.count - done)
      if n > 0 {
        done += n
      } else if n == 0 {
        return false
      } else if errno != EINTR {
        throw LunervError(.io, "the input broke")
      }
    }
    return true
  }

  private static func write(_ bytes: UnsafeRawBufferPointer) throws {
    var done = 0
    while done < bytes.count {
      let n = Glibc.write(0, bytes.baseAddress.map { $0 + done }, bytes.count - done)
      if n > 0 {
        done += n
      } else if errno != EINTR {
        throw LunervError(.io, "the output broke")
      }
    }
  }

  private static func head(_ status: UInt8, _ count: Int) throws {
    let bytes = [status] + (0..<8).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) }
    try bytes.withUnsafeBytes(write)
  }

  private static func answer(_ status: UInt8, _ bytes: [UInt8]) throws {
    try head(status, bytes.count)
    try bytes.withUnsafeBytes(write)
  }
}
