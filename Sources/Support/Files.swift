import Glibc

/// File operations, on paths as the user gave them. Every failure is a ``LunervError`` of kind `io`
/// that names the path.
public enum Files {
  /// The whole content of a file, a pipe or a device; more than `limit` bytes are an error.
  public static func read(_ path: String, limit: Int = 1 << 30) throws -> [UInt8] {
    let limit = min(limit, Int.max - 1)
    let file = try Descriptor.open(path, O_RDONLY)
    let expected = try file.status().st_size
    guard expected <= limit else { throw tooLarge(path, limit) }
    // One byte more than expected shows the end without another buffer. Files under /proc claim to
    // be empty, hence the loop.
    var bytes = [UInt8](repeating: 0, count: min(max(Int(expected), 4095), limit) + 1)
    var count = 0
    while true {
      let got = try bytes.withUnsafeMutableBytes {
        try file.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[count...]))
      }
      if got == 0 { break }
      count += got
      guard count <= limit else { throw tooLarge(path, limit) }
      if count == bytes.count {
        let more = min(bytes.count, limit + 1 - count)
        bytes.append(contentsOf: repeatElement(0, count: more))
      }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  /// A file's content as text; invalid UTF-8 becomes U+FFFD.
  public static func readText(_ path: String, limit: Int = 1 << 30) throws -> String {
    String(decoding: try read(path, limit: limit), as: UTF8.self)
  }

  /// Replaces the file at `path` by the given bytes, whole or not at all (``AtomicFile``).
  public static func writeAtomically(_ path: String, parts: [UnsafeRawBufferPointer]) throws {
    let file = try AtomicFile(path)
    for part in parts { try file.write(part) }
    try file.commit()
  }

  public static func writeAtomically(_ path: String, bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { try writeAtomically(path, parts: [$0]) }
  }

  public static func writeAtomically(_ path: String, text: String) throws {
    try writeAtomically(path, bytes: Array(text.utf8))
  }

  /// Creates a folder and its parents; no error if it exists.
  public static func makeDirectories(_ path: String) throws {
    try checkPath(path)
    guard path.utf8.count < PATH_MAX else {
      throw failure(path, "create folder", code: ENAMETOOLONG)
    }
    if isDirectory(path) { return }
    let parent = split(path).folder
    if parent != path, !isDirectory(parent) { try makeDirectories(parent) }
    // Another process may have made it meanwhile.
    if mkdir(path, 0o777) != 0, !isDirectory(path) { throw failure(path, "create folder") }
  }

  /// Whether anything is at `path`; links are followed.
  public static func exists(_ path: String) -> Bool {
    status(path) != nil
  }

  /// Whether two paths name the same existing file or folder: by another spelling, a link, or a
  /// second name.
  public static func areSame(_ path: String, _ other: String) -> Bool {
    guard let a = status(path), let b = status(other) else { return false }
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino
  }

  /// Fails if writing a file of `bytes` bytes to `path` would fail; changes nothing.
  public static func checkWritable(_ path: String, bytes: Int) throws {
    try checkPath(path)
    if let found = status(path), found.st_mode & S_IFMT != S_IFREG, !isDirectory(path) {
      // A device or a pipe: opening it may block.
      guard access(path, W_OK) == 0 else { throw failure(path, "write") }
      return
    }
    try AtomicFile(path).discard()
    guard let free = freeBytes(split(path).folder) else { return }
    guard free >= bytes else { throw failure(path, "write", code: ENOSPC) }
  }

  /// How many bytes are free for a folder; nil if its file system does not report it.
  public static func freeBytes(_ folder: String) -> Int? {
    var room = statvfs()
    guard statvfs(folder, &room) == 0, room.f_frsize > 0 else { return nil }
    let (free, overflows) = Int(clamping: room.f_bavail)
      .multipliedReportingOverflow(by: Int(clamping: room.f_frsize))
    return overflows ? Int.max : free
  }

  /// A value that changes with a file's content: its modification time, size and inode number;
  /// nil without a file.
  public static func stamp(_ path: String) -> String? {
    guard let found = status(path) else { return nil }
    return "\(found.st_mtim.tv_sec).\(found.st_mtim.tv_nsec):\(found.st_size):\(found.st_ino)"
  }

  public static func isDirectory(_ path: String) -> Bool {
    status(path).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
  }

  /// The size of a file in bytes.
  public static func size(_ path: String) throws -> Int {
    guard let found = status(path) else { throw failure(path, "inspect") }
    return Int(found.st_size)
  }

  /// The names in a folder, including hidden ones, without `.` and `..`, sorted by their bytes.
  /// Names that are invalid UTF-8 are left out: no string could open them.
  public static func list(_ path: String) throws -> [String] { try listAll(path).names }

  /// ``list(_:)``, and the names that are invalid UTF-8 in a form for messages.
  public static func listAll(_ path: String) throws -> (names: [String], unreadable: [String]) {
    try checkPath(path)
    guard let folder = opendir(path) else { throw failure(path, "list") }
    defer { closedir(folder) }
    var (names, unreadable) = ([String](), [String]())
    while true {
      errno = 0
      guard let entry = readdir(folder) else {
        guard errno == 0 else { throw failure(path, "list") }
        break
      }
      let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { field in
        Array(field.prefix { $0 != 0 })
      }
      if let name = String(validating: bytes, as: UTF8.self) {
        if name != ".", name != ".." { names.append(name) }
      } else {
        unreadable.append(printable(bytes: bytes))
      }
    }
    return (names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }, unreadable.sorted())
  }

  /// Removes a file, a link or an empty folder.
  public static func remove(_ path: String) throws {
    try checkPath(path)
    guard Glibc.remove(path) == 0 else { throw failure(path, "remove") }
  }

  /// Renames within one file system, replacing an existing file, and makes the new name durable.
  public static func rename(_ path: String, to newPath: String) throws {
    try checkPath(path)
    try checkPath(newPath)
    guard Glibc.rename(path, newPath) == 0 else {
      throw failure(path, "rename to '\(newPath.printable)'")
    }
    try syncFolder(split(newPath).folder)
  }

  /// A path's folder (`.` if it names none) and last component.
  public static func split(_ path: String) -> (folder: String, name: String) {
    var bytes = Array(path.utf8)
    let slash = UInt8(ascii: "/")
    while bytes.count > 1, bytes.last == slash { bytes.removeLast() }
    guard let index = bytes.lastIndex(of: slash) else {
      return (".", String(decoding: bytes, as: UTF8.self))
    }
    let name = String(decoding: bytes[(index + 1)...], as: UTF8.self)
    return (index == 0 ? "/" : String(decoding: bytes[..<index], as: UTF8.self), name)
  }

  /// Waits until the content of a file is on the disk.
  public static func sync(_ path: String) throws {
    try Descriptor.open(path, O_RDONLY).sync()
  }

  /// Makes creations, renames and removals in a folder durable.
  public static func syncFolder(_ folder: String) throws {
    // A folder that is writable but not readable cannot be opened; nothing can be done.
    guard let handle = try? Descriptor.open(folder, O_RDONLY | O_DIRECTORY) else { return }
    try handle.sync()
  }

  static func status(_ path: String) -> stat? {
    var found = stat()
    return !path.utf8.contains(0) && stat(path, &found) == 0 ? found : nil
  }

  /// C sees a path only up to its first NUL, which may name another file.
  static func checkPath(_ path: String) throws {
    if path.utf8.contains(0) {
      throw LunervError(.io, "'\(path.printable)' is not a file name: it contains a NUL character")
    }
  }

  /// The error for a call that has just set `errno`.
  static func failure(_ path: String, _ action: String, code: Int32 = errno) -> LunervError {
    let reason =
      switch code {
      case ENOENT: "no such file or folder"
      case EACCES, EPERM: "permission denied"
      case EISDIR: "it is a folder"
      case ENOTDIR: "it, or a part of its path, is not a folder"
      case ENOSPC: "no space left on device; free some and try again"
      case EDQUOT: "disk quota exceeded; free some space and try again"
      case EROFS: "the file system is read-only"
      case EMFILE, ENFILE: "too many open files"
      case ENAMETOOLONG: "the name is too long"
      case ENOTEMPTY: "the folder is not empty"
      default: String(cString: strerror(code))
      }
    return LunervError(.io, "cannot \(action) '\(path.printable)': \(reason)")
  }

  private static func tooLarge(_ path: String, _ limit: Int) -> LunervError {
    LunervError(.io, "'\(path.printable)' has more than the \(limit) bytes allowed here")
  }
}

/// An open file descriptor that closes itself.
public final class Descriptor {
  let path: String
  public private(set) var number: Int32

  /// Takes over an open descriptor; errors name `path`.
  public init(path: String, number: Int32) {
    self.path = path
    self.number = number
  }

  deinit {
    if number >= 0 { Glibc.close(number) }
  }

  /// Opens a file; errors name `shownAs`, if given.
  public static func open(
    _ path: String, _ flags: Int32, mode: mode_t = 0o666, shownAs name: String? = nil
  ) throws -> Descriptor {
    try Files.checkPath(path)
    let action = flags & O_CREAT != 0 ? "create" : "open"
    while true {
      let number = Glibc.open(path, flags | O_CLOEXEC, mode)
      if number >= 0 { return Descriptor(path: name ?? path, number: number) }
      if errno != EINTR { throw Files.failure(name ?? path, action) }
    }
  }

  /// A new file without a name, which vanishes with the process; nil if the file system has none or
  /// refuses.
  public static func unnamed(
    in folder: String, _ flags: Int32, mode: mode_t, shownAs name: String
  ) -> Descriptor? {
    // O_TMPFILE, a macro that Swift does not import.
    try? open(folder, 0o20000000 | O_DIRECTORY | flags, mode: mode, shownAs: name)
  }

  func status() throws -> stat {
    var found = stat()
    guard fstat(number, &found) == 0 else { throw Files.failure(path, "inspect") }
    return found
  }

  /// Up to `buffer.count` bytes; 0 at the end.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    while true {
      let count = Glibc.read(number, buffer.baseAddress, buffer.count)
      if count >= 0 { return count }
      if errno != EINTR { throw Files.failure(path, "read") }
    }
  }

  /// All bytes, in as many calls as that takes.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
      let count = Glibc.write(number, piece.baseAddress, piece.count)
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if count == 0 {
        throw Files.failure(path, "write", code: EIO)
      } else if errno != EINTR {
        throw Files.failure(path, "write")
      }
    }
  }

  /// Sets the length of a file; new bytes are zero.
  public func resize(_ bytes: Int) throws {
    while ftruncate(number, bytes) != 0 {
      if errno != EINTR { throw Files.failure(path, "write") }
    }
  }

  /// Waits until the content is on the disk. Pipes and some file systems do not support that.
  func sync() throws {
    while fsync(number) != 0 {
      switch errno {
      case EINTR: continue
      case EINVAL, ENOTSUP: return
      default: throw Files.failure(path, "write")
      }
    }
  }

  /// Closes, and reports errors that the kernel had deferred.
  public func close() throws {
    guard number >= 0 else { return }
    defer { number = -1 }
    if Glibc.close(number) != 0, errno != EINTR { throw Files.failure(path, "write") }
  }
}
