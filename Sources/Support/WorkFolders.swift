import Glibc

/// Folders in which this process names every file that it writes. It did not make the links there:
/// writing replaces a link and leaves its target alone.
public enum WorkFolders {
  private static let known = Guarded<Set<[UInt]>>([])

  /// Makes a folder and its parents, marks it as a work folder, and removes the remains of killed
  /// processes.
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
  /// Where the file at `path` is to be written: a link's target, so that the link stays, but the
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
