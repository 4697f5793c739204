import Glibc

/// Writes a file that appears at its path whole or not at all, power cuts included.
///
/// The bytes go to a temporary in the same folder; ``commit()`` flushes it to the disk,
/// renames it over `path` and flushes the folder. Whatever fails on the way (a full disk,
/// say), the temporary is removed and what was at `path` stays untouched. Not committing
/// discards. Links are followed; devices and pipes are written directly.
public final class AtomicFile {
  public let path: String
  /// Bytes written so far.
  public private(set) var count = 0

  private let target: String
  private let temporary: String?
  private let descriptor: Descriptor
  private var isOpen = true

  public init(_ path: String) throws {
    try Files.checkPath(path)
    self.path = path
    let found = Files.status(path)
    if let found, found.st_mode & S_IFMT == S_IFDIR {
      throw Files.failure(path, "write", code: EISDIR)
    }
    if let found, found.st_mode & S_IFMT != S_IFREG {
      target = path
      temporary = nil
      descriptor = try Descriptor.open(path, O_WRONLY)
      return
    }
    let target = found == nil ? path : AtomicFile.resolved(path)
    let (name, descriptor) = try AtomicFile.makeTemporary(for: target, shownAs: path)
    if let found { fchmod(descriptor.number, found.st_mode & 0o777) }
    self.target = target
    self.temporary = name
    self.descriptor = descriptor
  }

  deinit { discard() }

  /// Appends bytes; returns when the kernel has all of them.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard isOpen else {
      throw LunervError(.io, "'\(path.printable)' is written and closed already")
    }
    try orDiscard { try descriptor.write(bytes) }
    count += bytes.count
  }

  public func write(_ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { try write($0) }
  }

  /// Publishes the file. Afterwards nothing more can be written.
  public func commit() throws {
    guard isOpen else {
      throw LunervError(.io, "'\(path.printable)' is written and closed already")
    }
    try orDiscard {
      try descriptor.sync()
      try descriptor.close()
      if let temporary, rename(temporary, target) != 0 {
        throw Files.failure(path, "write")
      }
      isOpen = false
    }
    if temporary != nil { try Files.syncFolder(Files.split(target).folder) }
  }

  /// Removes the temporary and leaves what was at `path` as it was. Harmless after
  /// ``commit()`` and when called twice.
  public func discard() {
    guard isOpen else { return }
    isOpen = false
    if let temporary { unlink(temporary) }
    try? descriptor.close()
  }

  /// Removes the temporaries that killed processes left in a folder, and returns how many.
  /// A temporary that is being written is locked by its writer and stays; one younger than
  /// a minute too, since its writer may not have come to locking it yet.
  @discardableResult
  public static func removeStale(in folder: String, olderThan seconds: Int = 60) -> Int {
    let names = (try? Files.list(folder)) ?? []
    var removed = 0
    for name in names where name.hasPrefix(prefix) && name.hasSuffix(suffix) {
      let path = folder + "/" + name
      guard let file = try? Descriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK),
        let status = try? file.status(), status.st_mode & S_IFMT == S_IFREG,
        time(nil) - status.st_mtim.tv_sec >= seconds,
        flock(file.number, LOCK_EX | LOCK_NB) == 0
      else { continue }
      if unlink(path) == 0 { removed += 1 }
    }
    return removed
  }

  private static let prefix = ".lunerv-"
  private static let suffix = ".tmp"

  private static func makeTemporary(
    for target: String, shownAs path: String
  ) throws -> (name: String, descriptor: Descriptor) {
    let folder = Files.split(target).folder
    while true {
      let random = String(UInt64.random(in: 0 ... .max), radix: 36)
      let name = folder + "/" + prefix + random + suffix
      let number = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if number >= 0 {
        flock(number, LOCK_EX | LOCK_NB)
        return (name, Descriptor(path: path, number: number))
      }
      if errno != EEXIST, errno != EINTR { throw Files.failure(path, "create") }
    }
  }

  /// Where a link leads, so that the link survives and its target is replaced.
  private static func resolved(_ path: String) -> String {
    guard let buffer = realpath(path, nil) else { return path }
    defer { free(buffer) }
    return String(cString: buffer)
  }

  private func orDiscard(_ body: () throws -> Void) throws {
    do { try body() } catch {
      discard()
      throw error
    }
  }
}
