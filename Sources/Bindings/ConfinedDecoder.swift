import CSandbox
@preconcurrency import Glibc
import Kernels
import LuaBridge
import Support
import Tensors

/// The child's side of a ``DecoderProcess``: gives up all rights, receives a file, and answers
/// requests for frames.
public enum ConfinedDecoder {
  public static let command = DecoderProcess.command
  /// For the Lua objects of a program, and for the file itself.
  private static let heapLimit = 128 << 20
  /// Address space that is reserved but not touched: stacks, the allocator's reserve, the BLAS's;
  /// and memory for entropy decoding and for lists that Lua passes.
  private static let reserve = 512 << 20
  /// The most values that tables may pass in one call.
  private static let mostCopied = 1 << 22

  /// - Parameter words: threads; bytes of tensors; work and seconds of processor time for the start
  ///   of a segment; the same for a frame; 1 if confinement must be complete; the parent's version.
  /// - Returns: the process's exit code.
  public static func run(_ words: [String]) -> Int32 {
    do {
      let numbers = words.prefix(7).compactMap { Int($0) }
      guard words.count == 8, numbers.count == 7, numbers.dropLast().allSatisfy({ $0 > 0 }) else {
        return 2
      }
      guard words[7] == Version.text else {
        throw LunervError(
          .data, "expected lunerv \(words[7]) to run it, found \(Version.text)")
      }
      let shares = Shares(
        start: .init(work: numbers[2], seconds: numbers[3]),
        frame: .init(work: numbers[4], seconds: numbers[5]))
      try serve(threads: numbers[0], memory: numbers[1], shares, isStrict: numbers[6] == 1)
      return 0
    } catch let error as LunervError {
      // An error about a damaged section needs no line of a script.
      let text = error.kind == .data ? error.description : error.text
      try? answer(1, Array(text.utf8.prefix(4096)))
    } catch {
      try? answer(1, Array("\(error)".utf8.prefix(4096)))
    }
    return 1
  }

  /// Limits what a request may use: a new share for each segment and each frame. Within one
  /// request, frames also keep what earlier ones did not use.
  private final class Shares {
    let start: DecoderLimits.Share
    let frame: DecoderLimits.Share
    private var framesOfRequest = 0
    private var isFirst = true
    private var isInSegment = false

    init(start: DecoderLimits.Share, frame: DecoderLimits.Share) {
      (self.start, self.frame) = (start, frame)
    }

    func beginRequest(_ session: Session) throws {
      (framesOfRequest, isFirst) = (0, false)
      try give(frame, more: false, session)
    }

    func beginSegment(_ session: Session) throws {
      isInSegment = !isFirst
      if isInSegment { try head(2, 0) }
      isFirst = false
      framesOfRequest = 0
      try give(start, more: false, session)
    }

    func beginFrame(_ session: Session) throws {
      framesOfRequest += 1
      guard framesOfRequest <= DecoderLimits.mostFrames else { return }
      if framesOfRequest > 1 || isInSegment { try head(2, 1) }
      isInSegment = false
      try give(frame, more: framesOfRequest > 1, session)
    }

    private func give(_ share: DecoderLimits.Share, more: Bool, _ session: Session) throws {
      // An exhausted share stays exhausted: the program cannot get later what it was denied.
      guard session.workLeft >= 0 else { return }
      let (sum, overflows) = session.workLeft.addingReportingOverflow(share.work)
      session.workLeft = more ? (overflows ? .max - 1 : sum) : share.work
      guard lunerv_allow_seconds(UInt64(share.seconds), more) else {
        throw LunervError(.io, "this system cannot limit a process's processor time")
      }
    }
  }

  private static func serve(
    threads: Int, memory: Int, _ shares: Shares, isStrict: Bool
  ) throws {
    // Confined processes cannot start threads.
    ThreadPool.shared.threads = threads
    ThreadPool.shared.start()
    lunerv_report_crashes(0)
    guard lunerv_allow_seconds(UInt64(shares.start.seconds), false) else {
      throw LunervError(.io, "this system cannot limit a process's processor time")
    }
    if let step = lunerv_confine(UInt64(memory + heapLimit + reserve), isStrict) {
      let reason = String(cString: strerror(errno))
      throw LunervError(
        .io,
        "this system does not let a process give up its rights (\(String(cString: step)): \(reason)): "
          + "decode a file that you trust with --unconfined, or { confined = false } in Lua"
      )
    }
    try answer(0, [])
    let file = try receiveFile()
    let host = try Host(confinedTo: heapLimit + 4 * file.count, copying: mostCopied) {
      define($0, $1.session, file, shares)
    }
    host.session.memoryLimit = memory
    host.session.workLeft = shares.start.work
    try host.lua.run(
      source: "require 'lunerv.codec.confined'", chunkName: "@lunerv:codec/boot.lua")
  }

  private static func define(
    _ m: LuaModule, _ session: Session, _ file: [UInt8], _ shares: Shares
  ) {
    m.define("confined_file", doc: "The file to decode.") { () -> LuaBytes in LuaBytes(file) }
    m.define("confined_ready", doc: "Reports to the parent that frames can be requested.") {
      try answer(0, [])
    }
    m.define(
      "confined_begin", params: ["what"],
      doc: "Begins a segment, or a frame, and grants its share."
    ) { (what: String) in
      switch what {
      case "segment": try shares.beginSegment(session)
      default: try shares.beginFrame(session)
      }
    }
    m.define("confined_request", doc: "The next frame requested, or nil at the end.") {
      () -> Int? in
      var index: UInt64 = 0
      let complete = try withUnsafeMutableBytes(of: &index) { try read(into: $0) }
      try shares.beginRequest(session)
      return complete ? Int(exactly: UInt64(littleEndian: index)) : nil
    }
    m.define("confined_answer", params: ["frame"], doc: "Sends a frame, (1, 3, height, width).") {
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
    else { throw LunervError(.io, "the parent process sent no file") }
    var file = [UInt8](repeating: 0, count: size)
    guard try file.withUnsafeMutableBytes({ try read(into: $0) }) else {
      throw LunervError(.io, "the file is incomplete")
    }
    return file
  }

  /// Fills the buffer; false if the other side has ended.
  private static func read(into bytes: UnsafeMutableRawBufferPointer) throws -> Bool {
    var done = 0
    while done < bytes.count {
      let n = Glibc.read(0, bytes.baseAddress.map { $0 + done }, bytes.count - done)
      if n > 0 {
        done += n
      } else if n == 0 {
        return false
      } else if errno != EINTR {
        throw LunervError(.io, "reading from the parent process failed")
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
        throw LunervError(.io, "writing to the parent process failed")
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
