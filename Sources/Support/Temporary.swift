import Glibc

/// A file or folder under a hidden name, next to the path to which it moves when it is complete.
///
/// It is locked while this object lives, so that no other process takes it for the remains of a
/// killed one. ``remove()``, the end of this object's life and the end of the process (including
/// `os.exit`) remove it, unless ``publish(as:)`` has moved it.
public final class Temporary {
  public enum Kind: Sendable { case file, folder }

  public let path: String
  public let kind: Kind
  /// Open for writing, if it is a file.
  let descriptor: Descriptor
  private let folder: String
  private let name: String
  private var isOurs = true

  /// Makes one in a folder; errors name `shownAs`. The first one in a folder removes the remains of
  /// killed processes there.
  public init(_ kind: Kind, in folder: String, shownAs name: String) throws {
    self.kind = kind
    self.folder = folder
    self.name = name
    Self.removeAllAtExit
    if Self.visited.withLock({ $0.insert(folder).inserted }) { Self.removeStale(in: folder) }
    let made: (descriptor: Descriptor, path: String)
    if kind == .file, let unnamed = try Self.makeUnnamed(in: folder, shownAs: name) {
      made = unnamed
    } else {
      made = try Self.make(kind, in: folder, shownAs: name)
    }
    (descriptor, path) = made
    Self.unfinished.withLock { _ = $0.updateValue(kind, forKey: path) }
  }

  /// A file that has no name until it is linked under its temporary one: a process that is killed
  /// before that leaves nothing. Nil if the file system has no such files.
  private static func makeUnnamed(in folder: String, shownAs name: String) throws -> (
    Descriptor, String
  )? {
    guard let made = Descriptor.unnamed(in: folder, O_WRONLY, mode: 0o666, shownAs: name) else {
      return nil
    }
    flock(made.number, LOCK_EX | LOCK_NB)
    let path = folder + "/" + Self.name(of: try made.status())
    let own = "/proc/self/fd/\(made.number)"
    guard linkat(AT_FDCWD, own, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 else { return nil }
    return (made, path)
  }

  /// The same, at first under a random name: the final one contains the file's inode number, which is
  /// not known before the file exists.
  private static func make(_ kind: Kind, in folder: String, shownAs name: String) throws -> (
    Descriptor, String
  ) {
    while true {
      let first = folder + "/" + Self.prefix + Self.tag(UInt32.random(in: 0 ... .max)) + Self.suffix
      let number: Int32
      switch kind {
      case .file: number = open(first, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      case .folder: number = makeFolder(first)
      }
      if number >= 0 {
        flock(number, LOCK_EX | LOCK_NB)
        let made = Descriptor(path: name, number: number)
        let path = folder + "/" + Self.name(of: try made.status())
        guard rename(first, path) == 0 else {
          let failure = Files.failure(name, "create")
          Self.remove(first, kind)
          throw failure
        }
        return (made, path)
      }
      if errno != EEXIST, errno != EINTR { throw Files.failure(name, "create") }
    }
  }

  /// Makes a folder and opens it; −1 and `errno` if either fails, and then there is no folder.
  private static func makeFolder(_ path: String) -> Int32 {
    guard mkdir(path, 0o777) == 0 else { return -1 }
    while true {
      let number = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      let code = errno
      if number >= 0 { return number }
      if code == EINTR { continue }
      rmdir(path)
      errno = code
      return -1
    }
  }

  deinit { remove() }

  /// Copies the permissions of the file at `path`, unless that is a link, which publishing
  /// replaces. If this file will be `opened` again by name, its owner may write it, too.
  public func takePermissions(of path: String, opened: Bool = false) {
    guard !Files.isLink(path), let found = Files.status(path) else { return }
    fchmod(descriptor.number, found.st_mode & 0o777 | (opened ? S_IWUSR : 0))
  }

  /// Flushes it to the disk, gives it the name `target` in its folder, and makes that durable. If
  /// the flush fails, the file at `target` stays as it was.
  public func publish(as target: String) throws {
    try descriptor.sync()
    // Closing reports what the system had deferred. A second descriptor keeps the lock meanwhile, so
    // that no other process takes this for the remains of a killed one.
    let lock = dup(descriptor.number)
    defer { if lock >= 0 { Glibc.close(lock) } }
    try descriptor.close()
    guard rename(path, target) == 0 else { throw Files.failure(name, "write") }
    isOurs = false
    Self.forget(path)
    try Files.syncFolder(folder)
  }

  /// Removes it and its content. Harmless after ``publish(as:)`` and when called twice.
  public func remove() {
    guard isOurs else { return }
    isOurs = false
    Self.forget(path)
    Self.remove(path, kind)
  }

  // MARK: Remains of killed processes

  private static let prefix = ".lunerv-"
  private static let suffix = ".tmp"
  private static let unfinished = Guarded<[String: Kind]>([:])
  private static let visited = Guarded<Set<String>>([])
  private static let removeAllAtExit: Void = {
    atexit {
      for (path, kind) in Temporary.unfinished.withLock({ $0 }) {
        // A frame that is being encoded may still arrive in a folder.
        for _ in 0..<100 where !Temporary.remove(path, kind) { usleep(5000) }
      }
    }
  }()

  private static func forget(_ path: String) {
    unfinished.withLock { _ = $0.removeValue(forKey: path) }
  }

  /// Returns whether it is gone.
  @discardableResult
  private static func remove(_ path: String, _ kind: Kind) -> Bool {
    switch kind {
    case .file: return unlink(path) == 0 || errno == ENOENT
    case .folder:
      for name in (try? Files.list(path)) ?? [] { unlink(path + "/" + name) }
      return rmdir(path) == 0 || errno == ENOENT
    }
  }

  /// Removes the remains of killed processes from a folder, and returns their number. Files locked
  /// by a writer stay. So do files younger than `seconds`, which their writers may not have locked
  /// yet; 0 ignores the clock, which may have been set back. Links stay, and so do files whose
  /// names this program cannot have made.
  @discardableResult
  public static func removeStale(in folder: String, olderThan seconds: Int = 60) -> Int {
    var removed = 0
    for name in (try? Files.list(folder)) ?? []
    where name.hasPrefix(prefix) && name.hasSuffix(suffix) {
      let path = folder + "/" + name
      guard let file = try? Descriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK),
        let status = try? file.status(),
        seconds == 0 || time(nil) - status.st_mtim.tv_sec >= seconds,
        flock(file.number, LOCK_EX | LOCK_NB) == 0
      else { continue }
      // The name follows from the file's inode number: a copy has another one, a renamed file
      // another name.
      guard name == Self.name(of: status) else { continue }
      switch status.st_mode & S_IFMT {
      case S_IFREG: if unlink(path) == 0 { removed += 1 }
      case S_IFDIR:
        // Relative to the open folder: its name may mean another one by now.
        for inner in (try? Files.list(path)) ?? [] { unlinkat(file.number, inner, 0) }
        if rmdir(path) == 0 { removed += 1 }
      default: break
      }
    }
    return removed
  }

  /// ".lunerv-TAG-PROOF.tmp": the tag is the file's inode number, and the proof is
  /// computed from it.
  static func name(of status: stat) -> String {
    let number = UInt64(status.st_ino)
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } + Array(prefix.utf8)
    return prefix + String(number, radix: 36) + "-" + tag(CRC32C.checksum(bytes)) + suffix
  }

  private static func tag(_ number: UInt32) -> String { String(number, radix: 36) }
}
