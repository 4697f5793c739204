/// Copies between two strided views of the same sizes: every change of layout, permutation,
/// slice and pad. Strides are in elements; a source stride of 0 repeats.
@_specialize(where T == Float)
@_specialize(where T == Double)
@_specialize(where T == Int32)
@_specialize(where T == UInt8)
public func stridedCopy<T>(
  sizes: [Int], from source: UnsafePointer<T>, strides sourceStrides: [Int],
  to target: UnsafeMutablePointer<T>, strides targetStrides: [Int]
) {
  var dims: [(size: Int, s: Int, t: Int)] = []
  for d in sizes.indices where sizes[d] != 1 {
    let dim = (size: sizes[d], s: sourceStrides[d], t: targetStrides[d])
    if let last = dims.last, last.s == dim.s * dim.size, last.t == dim.t * dim.size {
      dims[dims.count - 1] = (last.size * dim.size, dim.s, dim.t)
    } else {
      dims.append(dim)
    }
  }
  if sizes.contains(0) { return }
  guard let inner = dims.last else {
    target[0] = source[0]
    return
  }
  // Two inner loops in a block that keeps both sides' lines in cache when they disagree.
  dims.removeLast()
  let rows = dims.reduce(1) { $0 * $1.size }
  let outer = dims
  let rowsPerPiece = max(1, 16384 / max(1, inner.size))
  let pieces = (rows + rowsPerPiece - 1) / rowsPerPiece
  ThreadPool.shared.run(pieces) { piece in
    for row in (piece * rowsPerPiece)..<min(rows, (piece + 1) * rowsPerPiece) {
      var rest = row
      var (s, t) = (source, target)
      for dim in outer.reversed() {
        let i = rest % dim.size
        rest /= dim.size
        s += i * dim.s
        t += i * dim.t
      }
      if inner.s == 1, inner.t == 1 {
        t.update(from: s, count: inner.size)
      } else {
        for i in 0..<inner.size { t[i * inner.t] = s[i * inner.s] }
      }
    }
  }
}
