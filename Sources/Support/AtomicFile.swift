import Glibc

/// Writes a file that appears at its path whole or not at all, even after a power cut.
///
/// The bytes go to a temporary in the same folder; ``commit()`` flushes it to the disk, renames it
/// over `path` and flushes the folder. If anything fails before (a full disk, for example), the
/// temporary is removed and the file at `path` stays as it was. A file that is not committed is
/// discarded. Links are followed, except in ``WorkFolders``; devices and pipes are written
/// directly.
public final class AtomicFile {
  public let path: String
  /// Bytes written so far.
  public private(set) var count = 0

  private let target: String
  private let temporary: Temporary?
  private let descriptor: Descriptor
  private var isOpen = true

  public init(_ path: String) throws {
    try Files.checkPath(path)
    self.path = path
    let target = Files.destination(path)
    let found = Files.isLink(target) ? nil : Files.status(path)
    if let found, found.st_mode & S_IFMT == S_IFDIR {
      throw Files.failure(path, "write", code: EISDIR)
    }
    if let found, found.st_mode & S_IFMT != S_IFREG {
      self.target = path
      temporary = nil
      descriptor = try Descriptor.open(path, O_WRONLY)
      return
    }
    let temporary = try Temporary(.file, in: Files.split(target).folder, shownAs: path)
    temporary.takePermissions(of: target)
    self.target = target
    self.temporary = temporary
    descriptor = temporary.descriptor
  }

  deinit { discard() }

  /// Appends bytes; returns when the kernel has all of them.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard isOpen else {
      throw LunervError(.io, "'\(path.printable)' is already written and closed")
    }
    try orDiscard { try descriptor.write(bytes) }
    count += bytes.count
  }

  public func write(_ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { try write($0) }
  }

  /// Publishes the file. Nothing can be written after that.
  public func commit() throws {
    guard isOpen else {
      throw LunervError(.io, "'\(path.printable)' is already written and closed")
    }
    try orDiscard {
      if let temporary {
        try temporary.publish(as: target)
      } else {
        try descriptor.sync()
        try descriptor.close()
      }
      isOpen = false
    }
  }

  /// Removes the temporary and leaves the file at `path` as it was. Harmless after ``commit()`` and
  /// when called twice.
  public func discard() {
    guard isOpen else { return }
    isOpen = false
    temporary?.remove()
    try? descriptor.close()
  }

  private func orDiscard(_ body: () throws -> Void) throws {
    do { try body() } catch {
      discard()
      throw error
    }
  }
}
