import Support

/// Sums the gradients of a batch's frames in a fixed order (the host chooses it:
/// `Ranks.FrameTree`). Each node of that tree holds at most one gradient per parameter.
public final class GradientTree {
  public typealias Node = Range<Int>

  public let parameters: [Tensor]
  private var nodes: [Node: [Value?]] = [:]

  public init(_ parameters: [Tensor]) { self.parameters = parameters }

  /// Takes the gradients of a backward pass from the parameters' `grad`, as those of `node`.
  public func take(as node: Node) {
    nodes[node] = parameters.map { p in
      defer { p.clearGrad() }
      return p.grad?.value
    }
  }

  /// Drops all gradients.
  public func clear() { nodes = [:] }

  public func has(_ node: Node) -> Bool { nodes[node] != nil }

  public func has(_ node: Node, parameter k: Int) -> Bool { nodes[node]?[k] != nil }

  /// Adds two nodes into their parent.
  public func add(_ a: Node, _ b: Node, to parent: Node) throws {
    guard let first = nodes.removeValue(forKey: a), let second = nodes.removeValue(forKey: b)
    else { return }
    nodes[parent] = try zip(first, second).map { try GradientTree.sum($0, $1) }
  }

  /// The same as ``add(_:_:to:)`` for one parameter.
  public func add(_ a: Node, _ b: Node, to parent: Node, parameter k: Int) throws {
    let none = [Value?](repeating: nil, count: parameters.count)
    let sum = try GradientTree.sum(nodes[a]?[k], nodes[b]?[k])
    nodes[parent, default: none][k] = sum
  }

  private static func sum(_ a: Value?, _ b: Value?) throws -> Value? {
    guard let a, let b else { return a ?? b }
    let sum = try Value.pointwise(.add, [a, b])
    try sum.materialise()
    return sum
  }

  /// The gradient of a parameter in a node, as laid out in memory; nil for none.
  public func bytes(of k: Int, in node: Node) throws -> UnsafeRawBufferPointer? {
    guard let value = nodes[node]?[k] else { return nil }
    let settled = try value.converted(to: parameters[k].value.layout)
    try settled.materialise()
    nodes[node]?[k] = settled
    return UnsafeRawBufferPointer(
      start: try settled.memory(UInt8.self), count: settled.physicalCount * settled.dtype.size)
  }

  /// Memory for the gradient of a parameter in a node that another process has computed.
  public func room(for k: Int, in node: Node) throws -> UnsafeMutableRawBufferPointer {
    let p = parameters[k].value
    let value = try Value.allocate(p.shape, p.dtype, p.layout)
    let none = [Value?](repeating: nil, count: parameters.count)
    nodes[node, default: none][k] = value
    return UnsafeMutableRawBufferPointer(
      start: try value.memory(UInt8.self), count: value.physicalCount * value.dtype.size)
  }

  /// Records that a parameter has no gradient in a node.
  public func setNone(_ k: Int, in node: Node) { nodes[node]?[k] = nil }

  /// Moves the gradient of a node to the parameter's `grad`, or clears that.
  public func give(_ k: Int, of node: Node) throws {
    parameters[k].clearGrad()
    if let value = nodes[node]?[k] { try parameters[k].accumulate(value) }
  }

  /// A parameter's elements as laid out in memory, for reading or writing.
  public func memory(of k: Int) throws -> UnsafeMutableRawBufferPointer {
    let p = parameters[k]
    return UnsafeMutableRawBufferPointer(
      start: UnsafeMutableRawPointer(try p.writableFloats()),
      count: p.value.physicalCount * p.dtype.size)
  }
}
