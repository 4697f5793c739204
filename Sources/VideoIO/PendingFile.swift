@preconcurrency import Glibc
import Support

/// A file or folder that gets its name only when it is complete.
///
/// It is made under a hidden name beside the target. ``publish()`` moves it into place;
/// ``discard()``, or the end of this object's life, removes it.
final class PendingFile {
  /// The target, links resolved.
  let target: String
  /// Where to write meanwhile.
  let temporary: String

  private let isFolder: Bool
  /// What an existing folder held at first; replaced when the new files come.
  private let stale: [String]
  private var isPending = true

  /// Makes the temporary file.
  init(target: String) throws {
    switch try PathKind(target) {
    case .folder: throw LunervError(.io, "\(target): is a folder")
    case .other: throw LunervError(.io, "\(target): is no regular file ('-' is standard output)")
    case .file: self.target = Self.resolved(target)
    case .absent: self.target = target
    }
    isFolder = false
    stale = []
    temporary = try Self.make(beside: self.target) { name in
      let file = Glibc.open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      guard file >= 0 else { return false }
      Glibc.close(file)
      return true
    }
  }

  /// Makes a temporary folder, beside the target or, where that exists, inside it.
  ///
  /// - Parameter isOurs: whether an existing target may lose the file of this name. A target
  ///   that holds anything else is refused.
  init(folder target: String, isOurs: (String) -> Bool) throws {
    switch try PathKind(target) {
    case .folder:
      stale = try names(in: target)
      if let other = stale.first(where: { !isOurs($0) }) {
        throw LunervError(
          .io, "\(target): the folder holds other files ('\(other)'), name a new one")
      }
      self.target = Self.resolved(target)
      temporary = try Self.make(beside: self.target + "/frames") { mkdir($0, 0o777) == 0 }
    case .absent:
      stale = []
      var trimmed = target
      while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
      self.target = trimmed
      temporary = try Self.make(beside: trimmed) { mkdir($0, 0o777) == 0 }
    case .file, .other: throw LunervError(.io, "\(target): exists and is no folder")
    }
    isFolder = true
  }

  deinit { discard() }

  /// Writes through to the disk and gives the file its name.
  func publish() throws {
    guard isPending else { return }
    if !isFolder {
      try Self.sync(temporary)
      guard rename(temporary, target) == 0 else { throw systemError(target) }
    } else if try PathKind(target) == .folder {
      // An existing folder stays: it may be a mount point or someone's current directory.
      for name in stale where unlink(target + "/" + name) != 0 && errno != ENOENT {
        throw systemError(target + "/" + name)
      }
      for name in try names(in: temporary) {
        guard rename(temporary + "/" + name, target + "/" + name) == 0 else {
          throw systemError(target + "/" + name)
        }
      }
      rmdir(temporary)
    } else {
      guard rename(temporary, target) == 0 else { throw systemError(target) }
    }
    isPending = false
  }

  /// Removes what was written. Does nothing after ``publish()``.
  func discard() {
    guard isPending else { return }
    isPending = false
    if isFolder {
      for name in (try? names(in: temporary)) ?? [] { unlink(temporary + "/" + name) }
      rmdir(temporary)
    } else {
      unlink(temporary)
    }
  }

  /// Removes what killed processes left in `folder`. Nobody may be writing videos there.
  static func removeStale(in folder: String) {
    for name in (try? names(in: folder)) ?? [] where isTemporary(name) {
      let path = folder + "/" + name
      if (try? PathKind(path)) == .folder {
        for inner in (try? names(in: path)) ?? [] { unlink(path + "/" + inner) }
        rmdir(path)
      } else {
        unlink(path)
      }
    }
  }

  /// ".NAME.TAG.tmp", as `make(beside:)` forms them.
  private static func isTemporary(_ name: String) -> Bool {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count >= 4 && parts[0].isEmpty && parts.last == "tmp"
      && parts[parts.count - 2].utf8.allSatisfy {
        $0 >= 48 && $0 <= 57 || $0 >= 97 && $0 <= 122
      }
  }

  private static func sync(_ path: String) throws {
    let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw systemError(path) }
    defer { Glibc.close(file) }
    guard fsync(file) == 0 else { throw systemError(path) }
  }

  /// A link's end, so that the link stays and what it points to is replaced.
  private static func resolved(_ path: String) -> String {
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }

  /// Tries hidden names until `create` makes one.
  private static func make(beside target: String, _ create: (String) -> Bool) throws -> String {
    let (folder, name) = split(target)
    let short = String(decoding: Array(name.utf8.prefix(200)), as: UTF8.self)
    for _ in 0..<100 {
      let tag = String(UInt32.random(in: 0...UInt32.max), radix: 36)
      let candidate = "\(folder)/.\(short).\(tag).tmp"
      if create(candidate) { return candidate }
      guard errno == EEXIST else { throw systemError("\(target): cannot be made") }
    }
    throw LunervError(.io, "\(target): no temporary name is free beside it")
  }
}

/// Writes bytes to a descriptor; on standard output a closed pipe is an error, not a signal.
struct ByteSink {
  private let descriptor: Int32
  private let name: String
  private let ownsDescriptor: Bool

  /// Standard output.
  init() {
    descriptor = STDOUT_FILENO
    name = "standard output"
    ownsDescriptor = false
  }

  /// An existing file, written from its beginning; errors speak of `name`.
  init(path: String, name: String) throws {
    descriptor = Glibc.open(path, O_WRONLY | O_TRUNC | O_CLOEXEC)
    self.name = name
    ownsDescriptor = true
    guard descriptor >= 0 else { throw systemError(name) }
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard let base = bytes.baseAddress else { return }
    let code =
      ownsDescriptor
      ? Self.writeAll(descriptor, base, bytes.count)
      : withoutSIGPIPE {
        Self.writeAll(descriptor, base, bytes.count)
      }
    if code == EPIPE {
      throw LunervError(.io, "\(name): the reader closed the pipe")
    }
    if code != 0 { throw systemError(name, code) }
  }

  func write(_ text: String) throws {
    var text = text
    try text.withUTF8 { try write(UnsafeRawBufferPointer($0)) }
  }

  func close() {
    if ownsDescriptor { Glibc.close(descriptor) }
  }

  /// 0, or the `errno` of the write that failed.
  private static func writeAll(_ file: Int32, _ base: UnsafeRawPointer, _ count: Int) -> Int32 {
    var done = 0
    while done < count {
      let written = Glibc.write(file, base + done, count - done)
      if written >= 0 {
        done += written
        continue
      }
      switch errno {
      case EINTR: continue
      case EAGAIN:
        var waiting = pollfd(fd: file, events: Int16(POLLOUT), revents: 0)
        poll(&waiting, 1, -1)
      case let code: return code
      }
    }
    return 0
  }

  /// Blocks the signal for this thread and swallows the one a write may have raised, so that
  /// the process's own handling stays as it is.
  private func withoutSIGPIPE(_ body: () -> Int32) -> Int32 {
    var pipeOnly = sigset_t()
    var before = sigset_t()
    var pending = sigset_t()
    sigemptyset(&pipeOnly)
    sigaddset(&pipeOnly, SIGPIPE)
    sigpending(&pending)
    let wasPending = sigismember(&pending, SIGPIPE) == 1
    pthread_sigmask(SIG_BLOCK, &pipeOnly, &before)
    let code = body()
    if code == EPIPE, !wasPending {
      var now = timespec(tv_sec: 0, tv_nsec: 0)
      sigtimedwait(&pipeOnly, nil, &now)
    }
    pthread_sigmask(SIG_SETMASK, &before, nil)
    return code
  }
}
