import Support

/// Sums the gradients of a batch's frames in a fixed order (the host chooses it:
/// `Ranks.FrameTree`). Each node of that tree holds at most one gradient per parameter.
public final class GradientTree {
  public typealias Node = Range<Int>

  public let parameters: [Tensor]
  /// For each parameter, the gradients of the known nodes; nil for a node without a gradient.
  private var gradients: [[Node: Value?]]

  public init(_ parameters: [Tensor]) {
    self.parameters = parameters
    gradients = [[Node: Value?]](repeating: [:], count: parameters.count)
  }

  /// Takes the gradient of a parameter from its `grad`, as that of `node`.
  public func take(_ k: Int, as node: Node) {
    gradients[k].updateValue(parameters[k].grad?.value, forKey: node)
    parameters[k].clearGrad()
  }

  /// Drops all gradients.
  public func clear() {
    for k in gradients.indices { gradients[k] = [:] }
  }

  public func has(_ k: Int, _ node: Node) -> Bool { gradients[k][node] != nil }

  /// Adds two nodes of a parameter into their parent.
  public func add(_ k: Int, _ a: Node, _ b: Node, to parent: Node) throws {
    let first = gradients[k].removeValue(forKey: a) ?? nil
    let second = gradients[k].removeValue(forKey: b) ?? nil
    gradients[k].updateValue(try GradientTree.sum(first, second), forKey: parent)
  }

  private static func sum(_ a: Value?, _ b: Value?) throws -> Value? {
    guard let a, let b else { return a ?? b }
    let sum = try Value.pointwise(.add, [a, b])
    try sum.materialise()
    return sum
  }

  private func gradient(_ k: Int, _ node: Node) -> Value? { gradients[k][node] ?? nil }

  /// The gradient of a parameter in a node, as laid out in memory; nil for none.
  public func bytes(of k: Int, in node: Node) throws -> UnsafeRawBufferPointer? {
    guard let value = gradient(k, node) else { return nil }
    let settled = try value.converted(to: parameters[k].value.layout)
    try settled.materialise()
    gradients[k].updateValue(settled, forKey: node)
    return UnsafeRawBufferPointer(
      start: try settled.memory(UInt8.self), count: settled.physicalCount * settled.dtype.size)
  }

  /// Memory for the gradient of a parameter in a node that another process has computed.
  public func room(for k: Int, in node: Node) throws -> UnsafeMutableRawBufferPointer {
    let p = parameters[k].value
    let value = try Value.allocate(p.shape, p.dtype, p.layout)
    gradients[k].updateValue(value, forKey: node)
    return UnsafeMutableRawBufferPointer(
      start: try value.memory(UInt8.self), count: value.physicalCount * value.dtype.size)
  }

  /// Records that a parameter has no gradient in a node.
  public func setNone(_ k: Int, in node: Node) { gradients[k].updateValue(nil, forKey: node) }

  /// Moves the gradient of a node to the parameter's `grad`, or clears that.
  public func give(_ k: Int, of node: Node) throws {
    parameters[k].clearGrad()
    if let value = gradient(k, node) { try parameters[k].accumulate(value) }
  }

  /// A parameter's elements as laid out in memory, for reading or writing.
  public func memory(of k: Int) throws -> UnsafeMutableRawBufferPointer {
    let p = parameters[k]
    return UnsafeMutableRawBufferPointer(
      start: UnsafeMutableRawPointer(try p.writableFloats()),
      count: p.value.physicalCount * p.dtype.size)
  }
}
