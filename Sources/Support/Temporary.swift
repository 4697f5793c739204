import Glibc

/// A file or folder under a hidden name beside the place where it will be moved when it is
/// complete.
///
/// It is locked as long as this object lives, so that no other process takes it for one that a
/// killed process left. ``remove()``, the end of this object's life and the end of the process
/// (`os.exit` too) remove it, unless ``publish(as:)`` has moved it.
public final class Temporary {
  public enum Kind: Sendable { case file, folder }

  public let path: String
  public let kind: Kind
  /// Open for writing, where it is a file.
  let descriptor: Descriptor
  private let folder: String
  private let name: String
  private var isOurs = true

  /// Makes one in a folder; errors speak of `shownAs`. The first one in a folder clears that of what
  /// killed processes left there.
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

  /// A file that has no name until it has its own: a process that is killed on the way leaves nothing.
  /// Nil where the file system has no such files.
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

  /// The same with a name from the beginning, which becomes its own at once.
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

  /// Makes a folder and opens it; −1 and `errno` where either fails, and no folder then.
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

  /// Writes it through to the disk, gives it the name `target` in its folder, and makes that survive a
  /// power cut. A disk that fails when it is asked to keep the bytes leaves what was at `target`.
  public func publish(as target: String) throws {
    try descriptor.sync()
    try descriptor.close()
    guard rename(path, target) == 0 else { throw Files.failure(name, "write") }
    isOurs = false
    Self.forget(path)
    try Files.syncFolder(folder)
  }

  /// Removes it with all that is in it. Harmless after ``publish(as:)`` and when called twice.
  public func remove() {
    guard isOurs else { return }
    isOurs = false
    Self.forget(path)
    Self.remove(path, kind)
  }

  // MARK: What processes leave

  private static let prefix = ".lunerv-"
  private static let suffix = ".tmp"
  private static let unfinished = Guarded<[String: Kind]>([:])
  private static let visited = Guarded<Set<String>>([])
  private static let removeAllAtExit: Void = {
    atexit {
      for (path, kind) in Temporary.unfinished.withLock({ $0 }) {
        // A frame that is being encoded may still come into a folder.
        for _ in 0..<100 where !Temporary.remove(path, kind) { usleep(5000) }
      }
    }
  }()

  private static func forget(_ path: String) {
    unfinished.withLock { _ = $0.removeValue(forKey: path) }
  }

  /// Whether it is gone.
  @discardableResult
  private static func remove(_ path: String, _ kind: Kind) -> Bool {
    switch kind {
    case .file: return unlink(path) == 0 || errno == ENOENT
    case .folder:
      for name in (try? Files.list(path)) ?? [] { unlink(path + "/" + name) }
      return rmdir(path) == 0 || errno == ENOENT
    }
  }

  /// Removes what killed processes left in a folder, and returns how many. What is being written
  /// is locked by its writer and stays; what is younger than `seconds` too, since its writer may
  /// not have come to locking it yet; with 0 no clock is asked, which may have been set back. Links,
  /// and files that have not the name that this program
  /// gives to them alone, stay.
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
      // No other file has this name: who copies or renames one of ours makes it their own.
      guard name == Self.name(of: status) else { continue }
      switch status.st_mode & S_IFMT {
      case S_IFREG: if unlink(path) == 0 { removed += 1 }
      case S_IFDIR:
        // By the folder that is open: its name may mean another one by now.
        for inner in (try? Files.list(path)) ?? [] { unlinkat(file.number, inner, 0) }
        if rmdir(path) == 0 { removed += 1 }
      default: break
      }
    }
    return removed
  }

  /// ".lunerv-TAG-PROOF.tmp": the tag is the file's own number in its file system, and the proof
  /// follows from that.
  static func name(of status: stat) -> String {
    let number = UInt64(status.st_ino)
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } + Array(prefix.utf8)
    return prefix + String(number, radix: 36) + "-" + tag(CRC32C.checksum(bytes)) + suffix
  }

  private static func tag(_ number: UInt32) -> String { String(number, radix: 36) }
}

/// Folders in which this process names every file that it writes. A link in one of them was not
/// made by it: writing replaces the link and leaves what it leads to alone.
public enum WorkFolders {
  private static let known = Guarded<Set<[UInt]>>([])

  /// Makes a folder, and those above it, one of them, and clears it of what killed processes left.
  ///
  /// A link of that name in another work folder is replaced.
  public static func open(_ path: String) throws {
    if Files.isLink(path), contain(path) { try Files.remove(path) }
    try Files.makeDirectories(path)
    if let found = Files.status(path) { known.withLock { _ = $0.insert(identity(found)) } }
    Temporary.removeStale(in: path, olderThan: 0)
  }

  static func contain(_ path: String) -> Bool {
    guard let found = Files.status(Files.split(path).folder) else { return false }
    return known.withLock { $0.contains(identity(found)) }
  }

  private static func identity(_ found: stat) -> [UInt] {
    [UInt(found.st_dev), UInt(found.st_ino)]
  }
}

extension Files {
  /// Where the file at `path` is to be written: a link's end, so that the link stays, but the
  /// link itself in a work folder.
  public static func destination(_ path: String) -> String {
    if isLink(path), WorkFolders.contain(path) { return path }
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }

  /// Whether the path itself is a link.
  public static func isLink(_ path: String) -> Bool {
    var found = stat()
    return lstat(path, &found) == 0 && found.st_mode & S_IFMT == S_IFLNK
  }
}
