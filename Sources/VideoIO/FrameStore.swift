@preconcurrency import Glibc
import Support

/// Equal blocks of bytes, the first ones in memory, the rest in an unlinked temporary file.
///
/// Filled once in order (``space()``, then ``commit()``), then ``seal()``ed and read. The file is
/// written with `pwrite`, so a full disk is an error and never a fault in a mapping; it is mapped
/// once it is complete. It has no name, so nothing remains when the process ends.
final class FrameStore {
  let blockBytes: Int
  private(set) var count = 0

  private let memoryBlocks: Int
  private let folder: String
  private let pageMask: Int
  private var inMemory: [UnsafeMutableRawPointer] = []
  /// The buffer for the caller's next block; moved to `inMemory` or written to the file.
  private var scratch: UnsafeMutableRawPointer?
  private var file: Descriptor?
  private var mapping: UnsafeMutableRawPointer?
  /// Mapped blocks that may be resident, least recently used first.
  private var recent: [Int] = []
  private static let residentBlocks = 8

  /// - Parameters:
  ///   - memoryBytes: blocks beyond this go to the file.
  ///   - folder: where the file is created.
  init(blockBytes: Int, memoryBytes: Int, folder: String) {
    self.blockBytes = blockBytes
    self.folder = folder
    memoryBlocks = max(0, memoryBytes) / max(1, blockBytes)
    pageMask = sysconf(Int32(_SC_PAGESIZE)) - 1
  }

  deinit {
    for block in inMemory { free(block) }
    free(scratch)
    if let mapping { munmap(mapping, mappedBytes) }
  }

  /// Blocks in the file begin on pages, so that each can be dropped separately.
  private var pitch: Int { (blockBytes + pageMask) & ~pageMask }
  private var mappedBytes: Int { (count - inMemory.count) * pitch }

  /// Space for one more block; valid until ``commit()``.
  func space() throws -> UnsafeMutableBufferPointer<UInt8> {
    if scratch == nil {
      guard posix_memalign(&scratch, 64, max(blockBytes, 64)) == 0 else {
        scratch = nil
        throw LunervError(.memory, "not enough memory to keep \(count + 1) frames")
      }
    }
    let bytes = scratch?.assumingMemoryBound(to: UInt8.self)
    return UnsafeMutableBufferPointer(start: bytes, count: blockBytes)
  }

  /// Stores what was written to ``space()``.
  func commit() throws {
    guard let block = scratch else { return }
    if count < memoryBlocks {
      inMemory.append(block)
      scratch = nil
    } else {
      let file = try self.file ?? Self.anonymousFile(in: folder)
      self.file = file
      try write(block, at: (count - inMemory.count) * pitch, of: file.number)
    }
    count += 1
  }

  private func write(_ block: UnsafeMutableRawPointer, at offset: Int, of file: Int32) throws {
    var done = 0
    while done < blockBytes {
      let written = pwrite(file, block + done, blockBytes - done, off_t(offset + done))
      if written < 0, errno == EINTR { continue }
      guard written > 0 else {
        throw systemError(
          "\(folder): the frame cache cannot be written", written < 0 ? errno : ENOSPC)
      }
      done += written
    }
  }

  /// Ends filling and makes the file readable.
  func seal() throws {
    free(scratch)
    scratch = nil
    guard let file else { return }
    // The last block is padded to a page: mapped bytes must exist.
    try file.resize(mappedBytes)
    guard let memory = mmap(nil, mappedBytes, PROT_READ, MAP_SHARED, file.number, 0),
      memory != MAP_FAILED
    else { throw systemError("\(folder): the frame cache cannot be mapped") }
    mapping = memory
  }

  /// A block's bytes. The caller has checked `index`, and keeps the store alive.
  func block(_ index: Int) -> UnsafeBufferPointer<UInt8> {
    let address: UnsafeMutableRawPointer?
    if index < inMemory.count {
      address = inMemory[index]
    } else {
      touch(index)
      address = mapping.map { $0 + (index - inMemory.count) * pitch }
    }
    return UnsafeBufferPointer(
      start: address?.assumingMemoryBound(to: UInt8.self), count: blockBytes)
  }

  /// Starts reading a block from the file in advance.
  func prefetch(_ index: Int) {
    guard index >= inMemory.count, let mapping else { return }
    touch(index)
    madvise(mapping + (index - inMemory.count) * pitch, pitch, Int32(MADV_WILLNEED))
  }

  /// Records a use, and lets the system reclaim the pages of the least recently used block. If that
  /// block is still being read, it is only read from the file again.
  private func touch(_ index: Int) {
    if let place = recent.firstIndex(of: index) { recent.remove(at: place) }
    recent.append(index)
    guard recent.count > Self.residentBlocks, let mapping else { return }
    let old = recent.removeFirst()
    madvise(mapping + (old - inMemory.count) * pitch, pitch, Int32(MADV_DONTNEED))
  }

  private static func anonymousFile(in folder: String) throws -> Descriptor {
    let name = folder + "/frame cache"
    if let file = Descriptor.unnamed(in: folder, O_RDWR, mode: 0o600, shownAs: name) { return file }
    var template = Array((folder + "/lunerv-cache-XXXXXX").utf8CString)
    let file = mkstemp(&template)
    guard file >= 0 else { throw systemError("\(folder): the frame cache cannot be created") }
    _ = fcntl(file, F_SETFD, FD_CLOEXEC)
    unlink(template)
    return Descriptor(path: name, number: file)
  }
}
