// Sorts elements along one dimension, and finds the places of the largest and the smallest. Arrays
// are [outer][length][inner]; a line runs along the length. The order is numeric with NaN last, and
// equal elements keep their order.

/// The element types that tensors store.
public protocol StoredScalar: Numeric, Comparable, Sendable {
  /// Keys sort as the numbers do; the largest key is that of NaN.
  var orderKey: UInt64 { get }
  /// How many bits of the key are in use.
  static var orderBits: Int { get }
}

extension Float: StoredScalar {
  public static var orderBits: Int { 32 }
  @inline(__always) public var orderKey: UInt64 {
    if self != self { return 0xffff_ffff }
    // Both zeros are equal.
    let bits = self == 0 ? 0 : bitPattern
    // Without a branch, which random signs would mispredict.
    let sign = UInt32(bitPattern: Int32(bitPattern: bits) >> 31)
    return UInt64(bits ^ (sign | 0x8000_0000))
  }
}

extension Double: StoredScalar {
  public static var orderBits: Int { 64 }
  @inline(__always) public var orderKey: UInt64 {
    if self != self { return .max }
    let bits = self == 0 ? 0 : bitPattern
    let sign = UInt64(bitPattern: Int64(bitPattern: bits) >> 63)
    return bits ^ (sign | 1 << 63)
  }
}

extension Int32: StoredScalar {
  public static var orderBits: Int { 32 }
  @inline(__always) public var orderKey: UInt64 {
    UInt64(UInt32(bitPattern: self) ^ 0x8000_0000)
  }
}

extension UInt8: StoredScalar {
  public static var orderBits: Int { 8 }
  @inline(__always) public var orderKey: UInt64 { UInt64(self) }
}

public enum Ordering {
  /// A number's key and its place in the line.
  public struct Item {
    var key: UInt64
    var place: Int
  }

  /// The number of pieces that lines are shared out in, each with its own working memory.
  public static func pieces(lines: Int) -> Int { min(max(lines, 1), 16) }
  /// Bytes of working memory for ``sort``.
  public static func workBytes(lines: Int, length: Int) -> Int {
    pieces(lines: lines) * 2 * length * MemoryLayout<Item>.stride
  }

  /// Below this many items insertion sort is faster than counting digits.
  private static let few = 64

  /// The first `taken` of each line in order, largest first if `descending`: their places, which
  /// count from 1, and the elements if wanted, both as [outer][taken][inner].
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  @_specialize(where T == Int32)
  @_specialize(where T == UInt8)
  public static func sort<T: StoredScalar>(
    _ x: UnsafePointer<T>, outer: Int, length: Int, inner: Int, descending: Bool, taken: Int,
    values: UnsafeMutablePointer<T>?, places: UnsafeMutablePointer<Int32>,
    work: UnsafeMutableRawPointer
  ) {
    let lines = outer * inner
    if lines == 0 || length == 0 || taken == 0 { return }
    let pieces = pieces(lines: lines)
    let items = work.assumingMemoryBound(to: Item.self)
    let flip: UInt64 = descending ? (T.orderBits == 64 ? .max : 1 << UInt64(T.orderBits) - 1) : 0
    ThreadPool.shared.run(pieces) { piece in
      let a = items + piece * 2 * length, b = a + length
      for line in (lines * piece / pieces)..<(lines * (piece + 1) / pieces) {
        let (o, i) = (line / inner, line % inner)
        let from = x + o * length * inner + i
        var sorted = a
        if taken <= few, taken * 8 < length {
          var held = 0
          for j in 0..<length {
            let key = from[j * inner].orderKey ^ flip
            if held == taken {
              if key >= a[held - 1].key { continue }
            } else {
              held += 1
            }
            insert(Item(key: key, place: j), into: a, held)
          }
        } else if length <= few {
          for j in 0..<length {
            insert(Item(key: from[j * inner].orderKey ^ flip, place: j), into: a, j + 1)
          }
        } else {
          for j in 0..<length { a[j] = Item(key: from[j * inner].orderKey ^ flip, place: j) }
          sorted = sortedByDigits(a, b, length, bits: T.orderBits)
        }
        let to = o * taken * inner + i
        for j in 0..<taken {
          let place = sorted[j].place
          places[to + j * inner] = Int32(truncatingIfNeeded: place + 1)
          if let values { values[to + j * inner] = from[place * inner] }
        }
      }
    }
  }

  /// Inserts an item among `count` − 1 sorted ones, after its equals.
  @inline(__always) private static func insert(
    _ item: Item, into a: UnsafeMutablePointer<Item>, _ count: Int
  ) {
    var j = count - 1
    while j > 0, a[j - 1].key > item.key {
      a[j] = a[j - 1]
      j -= 1
    }
    a[j] = item
  }

  /// Sorts by the keys' bytes, the lowest byte first; the result is in `a` or `b`.
  private static func sortedByDigits(
    _ a: UnsafeMutablePointer<Item>, _ b: UnsafeMutablePointer<Item>, _ count: Int, bits: Int
  ) -> UnsafeMutablePointer<Item> {
    withScratch { scratch in
      let digits = bits / 8
      let counts = scratch.take(digits * 256, of: Int.self)
      counts.update(repeating: 0, count: digits * 256)
      for i in 0..<count {
        var key = a[i].key
        for d in 0..<digits {
          counts[d * 256 + Int(key & 255)] += 1
          key >>= 8
        }
      }
      var (from, to) = (a, b)
      for d in 0..<digits {
        let places = counts + d * 256
        let shift = UInt64(8 * d)
        // A byte that all keys share does not change the order.
        if places[Int(from[0].key >> shift & 255)] == count { continue }
        var total = 0
        for value in 0..<256 { (places[value], total) = (total, total + places[value]) }
        for i in 0..<count {
          let value = Int(from[i].key >> shift & 255)
          to[places[value]] = from[i]
          places[value] += 1
        }
        swap(&from, &to)
      }
      return from
    }
  }

  /// Numbers the groups of equal elements in a sorted array: the element that was at `places[i]`
  /// (from 1) gets in `groups` its group's number, from 1. NaN equals nothing.
  ///
  /// - Returns: how many groups there are.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  @_specialize(where T == Int32)
  @_specialize(where T == UInt8)
  public static func numberGroups<T: StoredScalar>(
    _ sorted: UnsafePointer<T>, places: UnsafePointer<Int32>, count: Int,
    groups: UnsafeMutablePointer<Int32>
  ) -> Int {
    var group = 0
    for i in 0..<count {
      if i == 0 || sorted[i] != sorted[i - 1] { group += 1 }
      groups[Int(places[i]) - 1] = Int32(truncatingIfNeeded: group)
    }
    return group
  }

  /// The first element of each group of a sorted array, and the group's size.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  @_specialize(where T == Int32)
  @_specialize(where T == UInt8)
  public static func gatherGroups<T: StoredScalar>(
    _ sorted: UnsafePointer<T>, count: Int, values: UnsafeMutablePointer<T>,
    counts: UnsafeMutablePointer<Int32>
  ) {
    var group = -1
    for i in 0..<count {
      if i == 0 || sorted[i] != sorted[i - 1] {
        group += 1
        values[group] = sorted[i]
        counts[group] = 0
      }
      counts[group] &+= 1
    }
  }

  // MARK: - Extrema

  /// Whether `v` comes before `best` among maxima; NaN comes before everything.
  @inline(__always) private static func wins<T: StoredScalar>(_ v: T, _ best: T, _ largest: Bool)
    -> Bool
  {
    if best != best { return false }
    return v != v || (largest ? v > best : v < best)
  }

  /// The places, which count from 1, of each line's first largest or smallest number, as
  /// [outer][inner]. Lines are not empty.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  @_specialize(where T == Int32)
  @_specialize(where T == UInt8)
  public static func extremes<T: StoredScalar>(
    _ x: UnsafePointer<T>, outer: Int, length: Int, inner: Int, largest: Bool,
    into places: UnsafeMutablePointer<Int32>
  ) {
    if outer * inner == 0 { return }
    if inner == 1 {
      lineExtremes(x, outer: outer, length: length, largest: largest, into: places)
      return
    }
    let width = 512
    let blocks = (inner + width - 1) / width
    ThreadPool.shared.run(outer * blocks) { piece in
      let (o, first) = (piece / blocks, piece % blocks * width)
      let count = min(width, inner - first)
      let from = x + o * length * inner + first
      let to = places + o * inner + first
      withScratch { scratch in
        let best = scratch.take(count, of: T.self)
        best.update(from: from, count: count)
        for i in 0..<count { to[i] = 1 }
        for j in 1..<max(length, 1) {
          let row = from + j * inner
          for i in 0..<count where wins(row[i], best[i], largest) {
            best[i] = row[i]
            to[i] = Int32(truncatingIfNeeded: j + 1)
          }
        }
      }
    }
  }

  @inline(__always) private static func lineExtremes<T: StoredScalar>(
    _ x: UnsafePointer<T>, outer: Int, length: Int, largest: Bool,
    into places: UnsafeMutablePointer<Int32>
  ) {
    // Long lines are split, short ones grouped.
    let size = 1 << 15
    let parts = (length + size - 1) / size
    @inline(__always) func best(_ line: UnsafePointer<T>, _ first: Int) -> Int {
      var at = first
      for j in (first + 1)..<max(first + 1, min(length, first + size))
      where wins(line[j], line[at], largest) { at = j }
      return at
    }
    if parts == 1 {
      let together = max(1, size / length)
      ThreadPool.shared.run((outer + together - 1) / together) { piece in
        for o in (piece * together)..<min(outer, (piece + 1) * together) {
          places[o] = Int32(truncatingIfNeeded: best(x + o * length, 0) + 1)
        }
      }
      return
    }
    withScratch { scratch in
      let found = scratch.take(outer * parts, of: Int.self)
      ThreadPool.shared.run(outer * parts) { piece in
        found[piece] = best(x + piece / parts * length, piece % parts * size)
      }
      for o in 0..<outer {
        var at = found[o * parts]
        for part in 1..<parts {
          let other = found[o * parts + part]
          if wins(x[o * length + other], x[o * length + at], largest) { at = other }
        }
        places[o] = Int32(truncatingIfNeeded: at + 1)
      }
    }
  }
}
