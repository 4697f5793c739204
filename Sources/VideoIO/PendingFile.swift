@preconcurrency import Glibc
import Support

/// A file or folder that gets its name only when it is complete.
///
/// It is made under a hidden name beside the target. ``publish()`` moves it into place;
/// ``discard()``, the end of this object's life and the end of the process remove it.
final class PendingFile {
  /// The target; links resolved, but not in a work folder.
  let target: String
  /// Where to write meanwhile.
  var temporary: String { made.path }

  private let made: Temporary
  /// What an existing folder held at first; replaced when the new files come.
  private let stale: [String]
  private var isPending = true

  /// Makes the temporary file.
  init(target: String) throws {
    switch try PathKind(target) {
    case .folder: throw LunervError(.io, "\(target): is a folder")
    case .other: throw LunervError(.io, "\(target): is no regular file ('-' is standard output)")
    case .file, .absent: self.target = Files.destination(target)
    }
    stale = []
    made = try Temporary(.file, in: Files.split(self.target).folder, shownAs: target)
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
      self.target = Files.destination(target)
      made = try Temporary(.folder, in: self.target, shownAs: target)
    case .absent:
      stale = []
      var trimmed = target
      while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
      self.target = trimmed
      made = try Temporary(.folder, in: Files.split(trimmed).folder, shownAs: target)
    case .file, .other: throw LunervError(.io, "\(target): exists and is no folder")
    }
  }

  deinit { discard() }

  /// Writes through to the disk and gives the file its name.
  func publish() throws {
    guard isPending else { return }
    if made.kind == .file {
      try Self.sync(temporary)
      guard rename(temporary, target) == 0 else { throw systemError(target) }
      made.keep()
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
      made.remove()
    } else {
      guard rename(temporary, target) == 0 else { throw systemError(target) }
      made.keep()
    }
    isPending = false
  }

  /// Removes what was written. Does nothing after ``publish()``.
  func discard() {
    guard isPending else { return }
    isPending = false
    made.remove()
  }

  private static func sync(_ path: String) throws {
    let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw systemError(path) }
    defer { Glibc.close(file) }
    guard fsync(file) == 0 else { throw systemError(path) }
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
