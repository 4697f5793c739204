private typealias CopiedDimension = (size: Int, s: Int, t: Int)

/// Copies between two strided views of the same sizes: every change of layout, permutation and
/// slice. Strides are in elements; a source stride of 0 repeats.
@_specialize(where T == Float)
@_specialize(where T == Double)
@_specialize(where T == Int32)
@_specialize(where T == UInt8)
public func stridedCopy<T>(
  sizes: [Int], from source: UnsafePointer<T>, strides sourceStrides: [Int],
  to target: UnsafeMutablePointer<T>, strides targetStrides: [Int]
) {
  if sizes.contains(0) { return }
  var order = sizes.indices.filter { sizes[$0] != 1 }
  // In the target's memory order: channels are adjacent in a feature map.
  order.sort { abs(targetStrides[$0]) > abs(targetStrides[$1]) }
  var dims: [CopiedDimension] = []
  for d in order {
    let dim = (size: sizes[d], s: sourceStrides[d], t: targetStrides[d])
    if let last = dims.last, last.s == dim.s * dim.size, last.t == dim.t * dim.size {
      dims[dims.count - 1] = (last.size * dim.size, dim.s, dim.t)
    } else {
      dims.append(dim)
    }
  }
  let inner = dims.popLast() ?? (1, 1, 1)
  let rows = dims.popLast() ?? (1, 0, 0)
  copyRows(dims, rows, inner, from: source, to: target)
}

/// Copies blocks of rows: the cache lines of both sides are reused even if their orders differ.
@inline(__always)
private func copyRows<T>(
  _ outer: [CopiedDimension], _ rows: CopiedDimension, _ row: CopiedDimension,
  from source: UnsafePointer<T>, to target: UnsafeMutablePointer<T>
) {
  let wanted = max(1, 16384 / row.size)
  let block = min(rows.size, wanted)
  let blocks = (rows.size + block - 1) / block
  let groups = outer.reduce(1) { $0 * $1.size }
  let groupsInPiece = max(1, wanted / rows.size)
  ThreadPool.shared.run((groups + groupsInPiece - 1) / groupsInPiece * blocks) { piece in
    let first = piece % blocks * block
    let count = min(block, rows.size - first)
    let start = piece / blocks * groupsInPiece
    for group in start..<min(groups, start + groupsInPiece) {
      var rest = group
      var (s, t) = (source + first * rows.s, target + first * rows.t)
      for dim in outer.reversed() {
        let i = rest % dim.size
        rest /= dim.size
        s += i * dim.s
        t += i * dim.t
      }
      if row.size < 8 {
        // The overhead of a loop over each row would exceed the copying.
        for j in 0..<row.size {
          let (p, q) = (s + j * row.s, t + j * row.t)
          for i in 0..<count { q[i * rows.t] = p[i * rows.s] }
        }
      } else if row.s == 1, row.t == 1 {
        for i in 0..<count { (t + i * rows.t).update(from: s + i * rows.s, count: row.size) }
      } else {
        for i in 0..<count {
          let (p, q) = (s + i * rows.s, t + i * rows.t)
          for j in 0..<row.size { q[j * row.t] = p[j * row.s] }
        }
      }
    }
  }
}
