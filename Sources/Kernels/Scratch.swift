import Glibc

/// A stack of working memory for each thread, grown on demand and kept: after the first
/// training step no kernel asks the system for pages.
final class Scratch {
  private var blocks: [(base: UnsafeMutableRawPointer, size: Int)] = []
  private var block = 0
  private var used = 0

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key) { raw in
      guard let raw else { return }
      Unmanaged<Scratch>.fromOpaque(raw).release()
    }
    return key
  }()

  static var current: Scratch {
    if let raw = pthread_getspecific(key) {
      return Unmanaged<Scratch>.fromOpaque(raw).takeUnretainedValue()
    }
    let fresh = Scratch()
    pthread_setspecific(key, Unmanaged.passRetained(fresh).toOpaque())
    return fresh
  }

  deinit { for b in blocks { free(b.base) } }

  struct Mark {
    var block: Int
    var used: Int
  }

  func mark() -> Mark { Mark(block: block, used: used) }

  func release(to mark: Mark) {
    (block, used) = (mark.block, mark.used)
    if Scratch.mostKept != .max, mark.block == 0, mark.used == 0 { trim() }
  }

  /// The bytes that each thread keeps.
  nonisolated(unsafe) fileprivate static var mostKept = Int.max

  private func trim() {
    while blocks.reduce(0, { $0 + $1.size }) > Scratch.mostKept, let last = blocks.popLast() {
      free(last.base)
    }
  }

  /// Uninitialised memory, 64-byte aligned, valid until `release(to:)` of an earlier mark.
  func take<T>(_ count: Int, of type: T.Type) -> UnsafeMutablePointer<T> {
    let own = roundUp(max(count, 1) * MemoryLayout<T>.stride, 64)
    let bytes = own + Scratch.gap
    while block < blocks.count, used + bytes > blocks[block].size {
      block += 1
      used = 0
    }
    if block == blocks.count {
      // Whole huge pages: transforms write to many planes at once, and the processor caches the
      // addresses of few small pages.
      let size = roundUp(max(bytes, 4 << 20), 2 << 20)
      var raw: UnsafeMutableRawPointer?
      guard posix_memalign(&raw, 2 << 20, size) == 0, let base = raw else {
        fatalError("lunerv: out of memory for \(size) bytes of kernel scratch")
      }
      madvise(base, size, 14 /* MADV_HUGEPAGE */)
      blocks.append((base, size))
      used = 0
    }
    let p = (blocks[block].base + used).assumingMemoryBound(to: T.self)
    used += bytes
    #if FUZZ
      unpoison(p, own)
      poison(UnsafeMutableRawPointer(p) + own, Scratch.gap)
    #endif
    return p
  }

  /// Bytes after each piece of memory that must not be touched.
  #if FUZZ
    private static let gap = 64
  #else
    private static let gap = 0
  #endif

  func floats(_ count: Int) -> UnsafeMutablePointer<Float> { take(count, of: Float.self) }
}

public enum WorkingMemory {
  /// Limits the bytes that each thread keeps for the next kernel; without a limit it keeps all that
  /// it ever took. Call this before kernels run.
  public static func keep(_ bytes: Int) { Scratch.mostKept = bytes }
}

#if FUZZ
  // AddressSanitizer's functions that forbid and allow access to memory.
  @_silgen_name("__asan_poison_memory_region")
  private func poison(_ start: UnsafeMutableRawPointer, _ count: Int)
  @_silgen_name("__asan_unpoison_memory_region")
  private func unpoison(_ start: UnsafeMutableRawPointer, _ count: Int)
#endif

/// Runs `body` with the calling thread's scratch and frees what it took.
@inline(__always) func withScratch<R>(_ body: (Scratch) -> R) -> R {
  let scratch = Scratch.current
  let mark = scratch.mark()
  defer { scratch.release(to: mark) }
  return body(scratch)
}
