import Glibc

/// A regular file mapped into memory, read-only, while this object lives. This process would crash
/// if another one shortened the file. So files are never rewritten in place: ``AtomicFile``
/// replaces them, and leaves a mapped one as it is.
public final class MappedFile: @unchecked Sendable {
  // Unchecked because of the pointer; it is never written through or changed.
  public let path: String
  /// Bytes in the file.
  public var count: Int { bytes.count }
  private let bytes: UnsafeRawBufferPointer

  public init(_ path: String) throws {
    // Non-blocking, so that opening a pipe fails below instead of waiting for its writer.
    let file = try Descriptor.open(path, O_RDONLY | O_NONBLOCK)
    let status = try file.status()
    guard status.st_mode & S_IFMT == S_IFREG else {
      let code = status.st_mode & S_IFMT == S_IFDIR ? EISDIR : ESPIPE
      throw Files.failure(path, "read", code: code)
    }
    self.path = path
    let size = Int(status.st_size)
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, file.number, 0),
      start != MAP_FAILED
    else { throw Files.failure(path, "map") }
    bytes = UnsafeRawBufferPointer(start: start, count: size)
  }

  /// Lends the content to `body`. The pointer must not escape: Swift may release this object, and
  /// unmap the file, right after its last use.
  public func withBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    try withExtendedLifetime(self) { try body(bytes) }
  }

  deinit {
    if let start = bytes.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: start), bytes.count)
    }
  }
}
