// Moves elements to and from places that an index names along one dimension. Places count from 0
// here and are already checked. Elements that go to the same place go there in the order of the
// index.

/// An index tensor and another tensor of equal rank, which is at least as large in all dimensions
/// but one.
public struct IndexedLines {
  /// The other dimensions, outermost first, merged where both sides allow it. Each has its strides
  /// in the index, which is contiguous, and in the other tensor.
  var dims: [(size: Int, index: Int, other: Int)] = []
  let length: Int, indexStep: Int, otherStep: Int
  /// Lines that are adjacent on both sides.
  let inner: Int
  let groups: Int

  public init(_ dim: Int, index shape: [Int], strides: [Int], other: [Int]) {
    (length, indexStep, otherStep) = (shape[dim], strides[dim], other[dim])
    for d in shape.indices where d != dim && shape[d] != 1 {
      let next = (size: shape[d], index: strides[d], other: other[d])
      if let last = dims.last, last.index == next.index * next.size,
        last.other == next.other * next.size
      {
        dims[dims.count - 1] = (last.size * next.size, next.index, next.other)
      } else {
        dims.append(next)
      }
    }
    if let last = dims.last, last.index == 1, last.other == 1 {
      inner = last.size
      dims.removeLast()
    } else {
      inner = 1
    }
    groups = dims.reduce(1) { $0 * $1.size }
  }

  /// Calls `body(i, o)` with the offsets of every element of the index, those of one line in order.
  /// `o` is the offset of the line's first element on the other side. Threads share the lines.
  @inline(__always) func forEach(_ body: (_ index: Int, _ other: Int) -> Void) {
    if length == 0 || groups == 0 || inner == 0 { return }
    let width = min(inner, 256)
    let blocks = (inner + width - 1) / width
    let together = max(1, (1 << 13) / (width * length))
    let pieces = (groups * blocks + together - 1) / together
    let dims = self.dims
    ThreadPool.shared.run(pieces) { piece in
      for task in (piece * together)..<min(groups * blocks, (piece + 1) * together) {
        var rest = task / blocks
        let first = task % blocks * width
        var (index, other) = (first, first)
        for dim in dims.reversed() {
          let at = rest % dim.size
          rest /= dim.size
          index += at * dim.index
          other += at * dim.other
        }
        let count = min(width, inner - first)
        for j in 0..<length {
          let row = index + j * indexStep
          for i in 0..<count { body(row + i, other + i) }
        }
      }
    }
  }
}

public enum IndexedMoves {
  /// out[i] = x[place of i], in the index's shape.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  @_specialize(where T == Int32)
  @_specialize(where T == UInt8)
  public static func gather<T: StoredScalar>(
    _ lines: IndexedLines, _ places: UnsafePointer<Int32>, from x: UnsafePointer<T>,
    into out: UnsafeMutablePointer<T>
  ) {
    let step = lines.otherStep
    lines.forEach { i, o in out[i] = x[o + Int(places[i]) * step] }
  }

  /// target[place of i] = x[i].
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  @_specialize(where T == Int32)
  @_specialize(where T == UInt8)
  public static func scatter<T: StoredScalar>(
    _ lines: IndexedLines, _ places: UnsafePointer<Int32>, _ x: UnsafePointer<T>,
    into target: UnsafeMutablePointer<T>
  ) {
    let step = lines.otherStep
    lines.forEach { i, o in target[o + Int(places[i]) * step] = x[i] }
  }

  /// target[place of i] += x[i].
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func scatterAdd<T: PointwiseScalar>(
    _ lines: IndexedLines, _ places: UnsafePointer<Int32>, _ x: UnsafePointer<T>,
    into target: UnsafeMutablePointer<T>
  ) {
    let step = lines.otherStep
    lines.forEach { i, o in target[o + Int(places[i]) * step] += x[i] }
  }

  // MARK: - Whole slices

  /// out[o][j] = x[o][places[j]], rows of `inner` elements.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  @_specialize(where T == Int32)
  @_specialize(where T == UInt8)
  public static func select<T: StoredScalar>(
    _ x: UnsafePointer<T>, outer: Int, length: Int, inner: Int, _ places: UnsafePointer<Int32>,
    _ count: Int, into out: UnsafeMutablePointer<T>
  ) {
    let rows = inner > 0 ? outer * count : 0
    let together = max(1, (1 << 14) / max(1, inner))
    ThreadPool.shared.run((rows + together - 1) / together) { piece in
      for row in (piece * together)..<min(rows, (piece + 1) * together) {
        let from = x + (row / count * length + Int(places[row % count])) * inner
        if inner == 1 {
          out[row] = from[0]
        } else {
          (out + row * inner).update(from: from, count: inner)
        }
      }
    }
  }

  /// target[o][places[j]] += x[o][j], rows of `inner` elements, j in order.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func add<T: PointwiseScalar>(
    _ x: UnsafePointer<T>, _ places: UnsafePointer<Int32>, _ count: Int,
    into target: UnsafeMutablePointer<T>, outer: Int, length: Int, inner: Int
  ) {
    if outer * inner == 0 { return }
    let width = min(inner, 1024)
    let blocks = (inner + width - 1) / width
    ThreadPool.shared.run(outer * blocks) { piece in
      let (o, first) = (piece / blocks, piece % blocks * width)
      let n = min(width, inner - first)
      for j in 0..<count {
        let from = x + (o * count + j) * inner + first
        let to = target + (o * length + Int(places[j])) * inner + first
        for i in 0..<n { to[i] += from[i] }
      }
    }
  }

  // MARK: - Triangles

  /// Copies the lower (`lower`) or upper triangle of each matrix, including the diagonal that lies
  /// `diagonal` columns to the right of the main one. The rest is zero.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  @_specialize(where T == Int32)
  @_specialize(where T == UInt8)
  public static func triangle<T: StoredScalar>(
    _ x: UnsafePointer<T>, planes: Int, rows: Int, columns: Int, diagonal: Int, lower: Bool,
    into y: UnsafeMutablePointer<T>
  ) {
    let all = planes * rows
    let together = max(1, (1 << 14) / max(1, columns))
    ThreadPool.shared.run((all + together - 1) / together) { piece in
      for row in (piece * together)..<min(all, (piece + 1) * together) {
        let (from, to) = (x + row * columns, y + row * columns)
        // The first column on the upper side.
        let split = min(max(row % rows + diagonal + (lower ? 1 : 0), 0), columns)
        let (first, end) = lower ? (0, split) : (split, columns)
        to.update(repeating: 0, count: first)
        (to + first).update(from: from + first, count: end - first)
        (to + end).update(repeating: 0, count: columns - end)
      }
    }
  }
}
