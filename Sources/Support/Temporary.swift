import Glibc
import Synchronization

/// A file or folder under a hidden name beside the place where it will be moved when it is
/// complete.
///
/// It is locked as long as this object lives, so that no other process takes it for one that a
/// killed process left. ``remove()``, the end of this object's life and the end of the process
/// (`os.exit` too) remove it, unless ``keep()`` has said that it was moved.
public final class Temporary {
  public enum Kind: Sendable { case file, folder }

  public let path: String
  public let kind: Kind
  /// Open for writing, where it is a file.
  let descriptor: Descriptor
  private var isOurs = true

  /// Makes one in the folder of `target`; errors speak of `shownAs`.
  public init(_ kind: Kind, in folder: String, shownAs name: String) throws {
    self.kind = kind
    Self.removeAllAtExit
    while true {
      let random = String(UInt64.random(in: 0 ... .max), radix: 36)
      let path = folder + "/" + Self.prefix + random + Self.suffix
      let number: Int32
      switch kind {
      case .file: number = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      case .folder:
        number =
          mkdir(path, 0o777) == 0
          ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1
      }
      if number >= 0 {
        flock(number, LOCK_EX | LOCK_NB)
        self.path = path
        descriptor = Descriptor(path: name, number: number)
        Self.unfinished.withLock { _ = $0.updateValue(kind, forKey: path) }
        return
      }
      if errno != EEXIST, errno != EINTR { throw Files.failure(name, "create") }
    }
  }

  deinit { remove() }

  /// Says that it has its own name now.
  public func keep() {
    isOurs = false
    Self.forget(path)
  }

  /// Removes it with all that is in it. Harmless after ``keep()`` and when called twice.
  public func remove() {
    guard isOurs else { return }
    isOurs = false
    Self.forget(path)
    Self.remove(path, kind)
  }

  // MARK: What processes leave

  private static let prefix = ".lunerv-"
  private static let suffix = ".tmp"
  private static let unfinished = Mutex<[String: Kind]>([:])
  private static let removeAllAtExit: Void = {
    atexit {
      for (path, kind) in Temporary.unfinished.withLock({ $0 }) { Temporary.remove(path, kind) }
    }
  }()

  private static func forget(_ path: String) {
    unfinished.withLock { _ = $0.removeValue(forKey: path) }
  }

  private static func remove(_ path: String, _ kind: Kind) {
    switch kind {
    case .file: unlink(path)
    case .folder:
      for name in (try? Files.list(path)) ?? [] { unlink(path + "/" + name) }
      rmdir(path)
    }
  }

  /// Removes what killed processes left in a folder, and returns how many. What is being written
  /// is locked by its writer and stays; what is younger than `seconds` too, since its writer may
  /// not have come to locking it yet. Links, and names that this program does not give, stay.
  @discardableResult
  public static func removeStale(in folder: String, olderThan seconds: Int = 60) -> Int {
    var removed = 0
    for name in (try? Files.list(folder)) ?? [] where isName(name) {
      let path = folder + "/" + name
      guard let file = try? Descriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK),
        let status = try? file.status(), time(nil) - status.st_mtim.tv_sec >= seconds,
        flock(file.number, LOCK_EX | LOCK_NB) == 0
      else { continue }
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

  /// ".lunerv-TAG.tmp", as `init` forms it.
  private static func isName(_ name: String) -> Bool {
    guard name.hasPrefix(prefix), name.hasSuffix(suffix) else { return false }
    let tag = name.utf8.dropFirst(prefix.utf8.count).dropLast(suffix.utf8.count)
    return !tag.isEmpty && tag.count <= 13
      && tag.allSatisfy { $0 >= 48 && $0 <= 57 || $0 >= 97 && $0 <= 122 }
  }
}

/// Folders in which this process names every file that it writes. A link in one of them was not
/// made by it: writing replaces the link and leaves what it leads to alone.
public enum WorkFolders {
  private static let known = Mutex<Set<[UInt]>>([])

  /// Makes a folder, and those above it, one of them, and clears it of what killed processes left.
  public static func open(_ path: String) throws {
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
