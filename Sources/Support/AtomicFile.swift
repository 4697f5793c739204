import Glibc

/// Writes a file that appears at its path whole or not at all, power cuts included.
///
/// The bytes go to a temporary in the same folder; ``commit()`` flushes it to the disk,
/// renames it over `path` and flushes the folder. Whatever fails on the way (a full disk,
/// say), the temporary is removed and what was at `path` stays untouched. Not committing
/// discards. Links are followed, but not in ``WorkFolders``; devices and pipes are written
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
    // A link that is to be replaced says nothing about the file that replaces it.
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
    if let found { fchmod(temporary.descriptor.number, found.st_mode & 0o777) }
    self.target = target
    self.temporary = temporary
    descriptor = temporary.descriptor
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
      if let temporary {
        try temporary.publish(as: target)
      } else {
        try descriptor.sync()
        try descriptor.close()
      }
      isOpen = false
    }
  }

  /// Removes the temporary and leaves what was at `path` as it was. Harmless after
  /// ``commit()`` and when called twice.
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
