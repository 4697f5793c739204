import Kernels

// Pending values of few numbers, of which a training step has hundreds: biases, rows of
// conditioning, step sizes. Compiling a program would take longer than computing them, so their
// operators run one by one, in the program's order and with the same results.

/// The most elements of such a value, and the most pending operators below it.
private let mostNumbers = 1 << 10
private let mostOperators = 8

/// Buffers for the operands, one set per session.
let fewNumbersCapacity = 3 * mostOperators * mostNumbers

extension Value {
  /// Computes this value without a program; nil if it needs one.
  func computedDirectly() throws -> Value? {
    guard dtype == .f32, layout == .contiguous, count <= mostNumbers, count > 0 else { return nil }
    var operators = 0
    guard try isDirect(in: self, &operators) else { return nil }
    try Work.charge(count, operators)
    Session.current.profiler?.runs(operators, over: count)
    let result = try Value.allocate(shape, dtype)
    let target = try result.memory(Float.self)
    var free = Session.current.fewNumbers
    try compute(self, into: target, &free)
    return result
  }

  /// Whether everything pending below this value has the shape of `root` or a single number, and no
  /// product is added to anything: a program fuses those, which rounds once.
  private func isDirect(in root: Value, _ operators: inout Int) throws -> Bool {
    guard dtype == .f32 else { return false }
    switch state {
    case .stored: return count == 1 || shape == root.shape && layout == .contiguous
    case .convolution, .unshuffled, .channelSums: return false
    case .pointwise(let node):
      if count == 1, root.count != 1 {
        try materialise()
        return true
      }
      operators += 1
      guard shape == root.shape, layout == .contiguous, operators <= mostOperators else {
        return false
      }
      for operand in node.operands {
        if node.op == .add, case .pointwise(let other) = operand.state, other.op == .multiply {
          return false
        }
        guard try operand.isDirect(in: root, &operators) else { return false }
      }
      return true
    }
  }

  private func compute(
    _ value: Value, into out: UnsafeMutablePointer<Float>, _ free: inout UnsafeMutablePointer<Float>
  ) throws {
    guard case .pointwise(let node) = value.state else { return }
    let count = self.count
    func source(_ i: Int) throws -> UnsafePointer<Float> {
      guard i < node.operands.count else { return UnsafePointer(out) }
      let operand = node.operands[i]
      let numbers = free
      if operand.isStored {
        let stored = try operand.memory(Float.self)
        if operand.count == count { return UnsafePointer(stored) }
        numbers.update(repeating: stored[0], count: count)
        free += mostNumbers
      } else {
        free += mostNumbers
        try compute(operand, into: numbers, &free)
      }
      return UnsafePointer(numbers)
    }
    let (a, b, c) = (try source(0), try source(1), try source(2))
    Float.apply(node.op, p: node.p, q: node.q, count, a, b, c, out)
  }
}
