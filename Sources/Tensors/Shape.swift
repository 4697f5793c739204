import Support

/// Arithmetic on sizes. Every size from a script or a file passes through here before memory is
/// allocated; products are checked for overflow.
enum Shape {
  static func checked(_ shape: [Int]) throws -> [Int] {
    if shape.count > 8 {
      throw LunervError(.argument, "a tensor has at most 8 dimensions, got \(shape.count)")
    }
    var product = 1
    for n in shape {
      if n < 0 {
        throw LunervError(.argument, "a size must not be negative, got \(describe(shape))")
      }
      let (p, overflow) = product.multipliedReportingOverflow(by: max(n, 1))
      if overflow || p > 1 << 48 {
        throw LunervError(.memory, "a tensor of shape \(describe(shape)) is too large")
      }
      product = p
    }
    return shape
  }

  static func count(_ shape: [Int]) -> Int { shape.reduce(1, *) }

  /// A size that is a product of others.
  static func product(_ sizes: Int...) throws -> Int {
    try combined(sizes, 1) { $0.multipliedReportingOverflow(by: $1) }
  }

  /// A size that is the sum of others.
  static func sum(_ sizes: [Int]) throws -> Int {
    try combined(sizes, 0) { $0.addingReportingOverflow($1) }
  }

  private static func combined(
    _ sizes: [Int], _ start: Int, _ step: (Int, Int) -> (partialValue: Int, overflow: Bool)
  ) throws -> Int {
    var all = start
    for size in sizes {
      let (next, overflows) = step(all, size)
      if overflows { throw LunervError(.memory, "a tensor of such sizes is too large") }
      all = next
    }
    return all
  }

  static func describe(_ shape: [Int]) -> String {
    "(" + shape.map(String.init).joined(separator: ", ") + ")"
  }

  static func contiguousStrides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for d in stride(from: shape.count - 2, through: 0, by: -1) {
      strides[d] = strides[d + 1] * shape[d + 1]
    }
    return strides
  }

  /// The common shape of operands that broadcast: sizes align from the end, 1 broadcasts.
  static func broadcast(_ a: [Int], _ b: [Int], for name: String) throws -> [Int] {
    if a == b { return a }
    let rank = max(a.count, b.count)
    var out = [Int](repeating: 1, count: rank)
    for d in 0..<rank {
      let x = d < rank - a.count ? 1 : a[d - (rank - a.count)]
      let y = d < rank - b.count ? 1 : b[d - (rank - b.count)]
      guard x == y || x == 1 || y == 1 else {
        throw LunervError(
          .argument, "\(name): shapes \(describe(a)) and \(describe(b)) do not broadcast")
      }
      out[d] = x == 1 ? y : x
    }
    // Both may be views of more elements than fit into memory.
    return try checked(out)
  }

  static func padded(_ shape: [Int], rank: Int) -> [Int] {
    [Int](repeating: 1, count: rank - shape.count) + shape
  }
}
