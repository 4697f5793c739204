import Support

/// The gradients of a batch, frame by frame, on their way to a sum that is added in an order of its
/// own (the host says which: `Ranks.FrameTree`). Each node of that order holds one gradient, or
/// none, for each parameter.
public final class GradientTree {
  public typealias Node = Range<Int>

  public let parameters: [Tensor]
  private var nodes: [Node: [Value?]] = [:]

  public init(_ parameters: [Tensor]) { self.parameters = parameters }

  /// Takes the gradients that a backward pass left in the parameters' `grad`, as those of `node`.
  public func take(as node: Node) {
    nodes[node] = parameters.map { p in
      defer { p.clearGrad() }
      return p.grad?.value
    }
  }

  /// Forgets all gradients.
  public func clear() { nodes = [:] }

  public func has(_ node: Node) -> Bool { nodes[node] != nil }

  public func has(_ node: Node, parameter k: Int) -> Bool { nodes[node]?[k] != nil }

  /// Adds two nodes up to their parent.
  public func add(_ a: Node, _ b: Node, to parent: Node) throws {
    guard let first = nodes.removeValue(forKey: a), let second = nodes.removeValue(forKey: b)
    else { return }
    nodes[parent] = try zip(first, second).map { try GradientTree.sum($0, $1) }
  }

  /// As ``add(_:_:to:)``, of one parameter.
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

  /// The gradient of a parameter in a node as it lies in memory; nil for none.
  public func bytes(of k: Int, in node: Node) throws -> UnsafeRawBufferPointer? {
    guard let value = nodes[node]?[k] else { return nil }
    let settled = try value.converted(to: parameters[k].value.layout)
    try settled.materialise()
    nodes[node]?[k] = settled
    return UnsafeRawBufferPointer(
      start: try settled.memory(UInt8.self), count: settled.physicalCount * settled.dtype.size)
  }

  /// Room for the gradient of a parameter in a node that another process has computed.
  public func room(for k: Int, in node: Node) throws -> UnsafeMutableRawBufferPointer {
    let p = parameters[k].value
    let value = try Value.allocate(p.shape, p.dtype, p.layout)
    let none = [Value?](repeating: nil, count: parameters.count)
    nodes[node, default: none][k] = value
    return UnsafeMutableRawBufferPointer(
      start: try value.memory(UInt8.self), count: value.physicalCount * value.dtype.size)
  }

  /// That no gradient came for a parameter in a node.
  public func setNone(_ k: Int, in node: Node) { nodes[node]?[k] = nil }

  /// Makes the gradient of a node the parameter's `grad`; none where it has none.
  public func give(_ k: Int, of node: Node) throws {
    parameters[k].clearGrad()
    if let value = nodes[node]?[k] { try parameters[k].accumulate(value) }
  }

  /// A parameter's own elements as they lie in memory, to be read or written.
  public func memory(of k: Int) throws -> UnsafeMutableRawBufferPointer {
    let p = parameters[k]
    return UnsafeMutableRawBufferPointer(
      start: UnsafeMutableRawPointer(try p.writableFloats()),
      count: p.value.physicalCount * p.dtype.size)
  }
}
