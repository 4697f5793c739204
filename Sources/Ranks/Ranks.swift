import CMPI
@preconcurrency import Glibc
import Support

/// The processes that `mpirun` started together, and their messages, which one thread sends and
/// receives.
///
/// No wait is unlimited: a message that is not there within the deadline is an error that names the
/// rank, its host and the operation.
public final class Ranks {
  /// The ranks of this process; it is alone until ``start()``.
  public nonisolated(unsafe) static let shared = Ranks()

  /// The rank of this process, from 0.
  public var rank: Int { worksAlone ? 0 : joined.rank }
  /// The number of ranks.
  public var size: Int { worksAlone ? 1 : joined.size }
  /// Whether this process works independently for now: `rank` is 0 and `size` is 1.
  public var worksAlone = false
  private var joined = (rank: 0, size: 1)
  /// The host name of each rank.
  public private(set) var hosts: [String] = []
  /// Seconds to wait for a rank, in addition to `longestWork`.
  public var deadline = 60.0
  /// Seconds of the longest work between two messages so far.
  public var longestWork = 0.0
  /// Bytes sent so far, and seconds spent waiting for messages.
  public private(set) var sentBytes = 0
  public private(set) var waitSeconds = 0.0
  /// Whether a rank was lost, after which no messages are possible.
  public private(set) var isBroken = false
  private var lastMessage = Environment.monotonicTime()
  /// The number of collectives so far.
  var collectives: UInt64 = 0

  private init() {}

  public static var isBuilt: Bool { lunerv_mpi_is_built() }

  /// The name and version of the MPI library; nil if this was built without one.
  public static var library: String? {
    isBuilt ? String(cString: lunerv_mpi_library()) : nil
  }

  /// The number of ranks according to the program that started this process; 1 if there is none.
  ///
  /// OpenMPI's mpirun sets the first of these variables, MPICH's and Slurm's PMI the others. A
  /// process that a rank starts inherits them but is not a rank: LUNERV_RANKS marks it.
  public static var announced: Int {
    if let own = getenv("LUNERV_RANKS"), String(cString: own) == "off" { return 1 }
    for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"] {
      if let text = getenv(name), let count = Int(String(cString: text)), count > 1 {
        return count
      }
    }
    return 1
  }

  /// Joins the ranks that were started with this process, if any.
  ///
  /// - Throws: if this program has no MPI: then all processes would do the same work.
  public func start() throws {
    let announced = Ranks.announced
    guard announced > 1, size == 1 else { return }
    guard Ranks.isBuilt else {
      throw LunervError(
        .usage,
        "started as one of \(announced) ranks, but built without MPI: scripts/setup --mpi installs what it needs, swift build -c release --traits MPI builds it in"
      )
    }
    var (rank, size) = (Int32(0), Int32(1))
    let error = lunerv_mpi_start(&rank, &size)
    guard error == 0 else { throw Ranks.failure("start", error) }
    joined = (Int(rank), Int(size))
    setenv("LUNERV_RANKS", "off", 1)
    var name = [CChar](repeating: 0, count: 256)
    lunerv_mpi_host(&name, name.count)
    let own = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    hosts = [String](repeating: "?", count: joined.size)
    hosts = try gather(own, as: "start").map { String(decoding: $0, as: UTF8.self) }
  }

  /// Leaves the ranks: waits for the others, or after a failure ends them.
  public func end(code: Int32) {
    worksAlone = false
    guard size > 1 else { return }
    do {
      if code != 0 || isBroken { throw LunervError(.io, "ranks") }
      _ = try gather([], as: "end")
      lunerv_mpi_end()
    } catch {
      lunerv_mpi_abort(code == 0 ? 1 : code)
    }
    joined = (0, 1)
  }

  /// Excludes the time since the last message from `longestWork`: no other rank waited for it.
  public func rejoin() { lastMessage = Environment.monotonicTime() }

  /// Marks the ranks as broken: some messages will never be received, so later ones cannot be
  /// matched.
  public func abandon() { isBroken = true }

  /// "rank 1 (host)".
  public func name(of rank: Int) -> String {
    "rank \(rank) (\(hosts.indices.contains(rank) ? hosts[rank].printable : "?"))"
  }

  private static func failure(_ what: String, _ error: Int32) -> LunervError {
    LunervError(.io, "ranks: \(what): \(String(cString: lunerv_mpi_text(error)).printable)")
  }

  // MARK: - Messages

  /// A message to or from a rank. Its bytes must stay where they are until it is done.
  public final class Message {
    public let peer: Int
    /// The number of bytes received.
    public fileprivate(set) var count = 0
    fileprivate var pieces: [OpaquePointer] = []

    fileprivate init(peer: Int) { self.peer = peer }

    deinit { for piece in pieces { lunerv_mpi_forget(piece) } }

    public var isDone: Bool { pieces.isEmpty }
  }

  /// The most bytes of one MPI call; longer messages are split.
  private static let mostBytes = 1 << 30
  /// The first tag for messages of gradients.
  public static let firstTag = 16
  public static var lastTag: Int { Int(lunerv_mpi_last_tag()) }

  public func send(_ bytes: UnsafeRawBufferPointer, to peer: Int, tag: Int) throws -> Message {
    let message = Message(peer: peer)
    try each(bytes.count) { offset, count in
      var error: Int32 = 0
      let request = lunerv_mpi_send(
        bytes.baseAddress.map { $0 + offset }, Int32(count), Int32(peer), Int32(tag), &error)
      guard let request else { throw Ranks.failure("send to \(name(of: peer))", error) }
      message.pieces.append(request)
    }
    sentBytes += bytes.count
    return message
  }

  /// - Parameter bytes: enough memory for the largest possible message.
  public func receive(_ bytes: UnsafeMutableRawBufferPointer, from peer: Int, tag: Int) throws
    -> Message
  {
    let message = Message(peer: peer)
    try each(bytes.count) { offset, count in
      var error: Int32 = 0
      let request = lunerv_mpi_receive(
        bytes.baseAddress.map { $0 + offset }, Int32(count), Int32(peer), Int32(tag), &error)
      guard let request else { throw Ranks.failure("receive from \(name(of: peer))", error) }
      message.pieces.append(request)
    }
    return message
  }

  /// The pieces of a message of this length; an empty one for 0.
  private func each(_ bytes: Int, _ body: (_ offset: Int, _ count: Int) throws -> Void) throws {
    var offset = 0
    repeat {
      let count = min(bytes - offset, Ranks.mostBytes)
      try body(offset, count)
      offset += count
    } while offset < bytes
  }

  /// Lets MPI make progress; whether all messages are done.
  public func poll(_ messages: [Message]) throws -> Bool {
    var isDone = true
    for message in messages {
      while let piece = message.pieces.first {
        var (received, error) = (Int32(0), Int32(0))
        let state = lunerv_mpi_test(piece, &received, &error)
        if state < 0 {
          isBroken = true
          throw Ranks.failure(name(of: message.peer), error)
        }
        if state == 0 { break }
        lunerv_mpi_forget(piece)
        message.pieces.removeFirst()
        message.count += Int(received)
      }
      isDone = isDone && message.isDone
    }
    return isDone
  }

  /// Waits until all messages are done.
  ///
  /// - Throws: after the deadline plus the time of the longest work.
  public func wait(_ messages: [Message], as what: String) throws {
    guard !isBroken else { throw LunervError(.io, "ranks: \(what): a rank was lost earlier") }
    let began = Environment.monotonicTime()
    let own = began - lastMessage
    let limit = deadline + max(longestWork, own)
    var turns = 0
    while true {
      if try poll(messages) { break }
      turns += 1
      if turns < 200 {
        sched_yield()
      } else {
        usleep(turns < 2000 ? 20 : 200)
        let now = Environment.monotonicTime()
        if now - began > limit { throw late(messages, what, now - began) }
      }
    }
    lastMessage = Environment.monotonicTime()
    waitSeconds += lastMessage - began
    longestWork = max(longestWork, own)
  }

  private func late(_ messages: [Message], _ what: String, _ seconds: Double) -> LunervError {
    isBroken = true
    let peers = Set(messages.filter { !$0.isDone }.map(\.peer)).sorted()
    let names = peers.prefix(4).map(name(of:)).joined(separator: ", ")
    let rest = peers.count > 4 ? " and \(peers.count - 4) more" : ""
    return LunervError(
      .io,
      "\(what): \(names)\(rest) did not answer \(name(of: rank)) within \(Int(seconds)) s (--deadline)"
    )
  }
}
