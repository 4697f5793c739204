@preconcurrency import Glibc
import Support

/// A file or folder that gets its name only when it is complete.
///
/// It is written under a hidden name next to the target. ``publish()`` renames it; ``discard()``,
/// the end of this object's life and the end of the process remove it.
final class PendingFile {
  /// The target; links resolved, but not in a work folder.
  let target: String
  /// The path for writing until then.
  var temporary: String { made.path }

  private let made: Temporary
  /// The files that an existing folder had at first. ``publish()`` replaces them.
  private let stale: [String]
  private var isPending = true

  /// Creates the temporary file.
  init(target: String) throws {
    switch try PathKind(target) {
    case .folder: throw LunervError(.io, "\(target): is a folder")
    case .other: throw LunervError(.io, "\(target): is not a regular file ('-' is standard output)")
    case .file, .absent: self.target = Files.destination(target)
    }
    stale = []
    made = try Temporary(.file, in: Files.split(self.target).folder, shownAs: target)
    made.takePermissions(of: self.target, opened: true)
  }

  /// Creates a temporary folder: next to the target, or inside it if it exists.
  /// - Parameter isOurs: whether an existing target may lose the file of this name. A target with
  ///   any other content is rejected.
  init(folder target: String, isOurs: (String) -> Bool) throws {
    switch try PathKind(target) {
    case .folder:
      Temporary.removeStale(in: target, olderThan: 0)
      stale = try names(in: target)
      if let other = stale.first(where: { !isOurs($0) }) {
        throw LunervError(
          .io, "\(target): the folder contains other files ('\(other)'); choose a new one")
      }
      self.target = Files.destination(target)
      made = try Temporary(.folder, in: self.target, shownAs: target)
    case .absent:
      stale = []
      var trimmed = target
      while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
      self.target = trimmed
      made = try Temporary(.folder, in: Files.split(trimmed).folder, shownAs: target)
    case .file, .other: throw LunervError(.io, "\(target): exists and is not a folder")
    }
  }

  deinit { discard() }

  /// Flushes the file to the disk and renames it.
  func publish() throws {
    guard isPending else { return }
    if made.kind == .folder {
      let new = try names(in: temporary)
      for name in new { try Files.sync(temporary + "/" + name) }
      if try PathKind(target) == .folder {
        try replaceContent(by: new)
        isPending = false
        return
      }
    } else {
      made.takePermissions(of: target)
    }
    try made.publish(as: target)
    isPending = false
  }

  /// An existing folder stays: it may be a mount point or someone's current directory. Its files
  /// are replaced one by one, so each is an old or a new one at any time.
  private func replaceContent(by new: [String]) throws {
    for name in new {
      guard rename(temporary + "/" + name, target + "/" + name) == 0 else {
        throw systemError(target + "/" + name)
      }
    }
    let kept = Set(new)
    for name in stale where !kept.contains(name) {
      guard unlink(target + "/" + name) == 0 || errno == ENOENT else {
        throw systemError(target + "/" + name)
      }
    }
    made.remove()
    try Files.syncFolder(target)
  }

  /// Removes what was written. Does nothing after ``publish()``.
  func discard() {
    guard isPending else { return }
    isPending = false
    made.remove()
  }

}

/// Writes bytes to a file, or to standard output, whose closed pipe is an error and not a signal.
struct ByteSink {
  /// Nil for standard output.
  private let file: Descriptor?

  /// Standard output.
  init() { file = nil }

  /// A file, written from its beginning; errors name `name`.
  init(path: String, name: String, isNew: Bool = false) throws {
    let flags = O_WRONLY | (isNew ? O_CREAT | O_EXCL : O_TRUNC)
    file = try Descriptor.open(path, flags, shownAs: name)
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    if let file { return try file.write(bytes) }
    guard let base = bytes.baseAddress else { return }
    let code = withoutSIGPIPE { Self.writeAll(STDOUT_FILENO, base, bytes.count) }
    if code == EPIPE { throw LunervError(.io, "standard output: the reader closed the pipe") }
    if code != 0 { throw systemError("standard output", code) }
  }

  func write(_ text: String) throws {
    var text = text
    try text.withUTF8 { try write(UnsafeRawBufferPointer($0)) }
  }

  /// Closes a file, and reports errors that the system had deferred. Harmless when called twice.
  func close() throws { try file?.close() }

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

  /// Blocks the signal for this thread and discards one that a write raised, so the process's own
  /// handling stays as it is.
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
