import LuaBridge
import Ranks
import Support
import Tensors

/// Sums the gradients of a step's frames over all ranks.
///
/// Each parameter has an owner, the rank that sums its gradients and updates it; the others send
/// their gradients to that rank and receive the new values. Sums are added in the order of
/// ``FrameTree``, so a step gives the same bits for any number of ranks, including one.
final class GradientExchange: LuaObject {
  static var luaName: String { "gradient_exchange" }

  private let ranks = Ranks.shared
  private let tree: GradientTree
  private let owners: [Int]
  /// The frames of the step, and those of this rank.
  private var count = 1
  private var own = 0..<1

  /// Sent for a parameter without a gradient.
  private static var none: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

  /// - Parameter owners: a rank for each parameter.
  init(_ parameters: [Tensor], owners: [Int]) throws {
    guard owners.count == parameters.count,
      owners.allSatisfy({ (0..<Ranks.shared.size).contains($0) })
    else { throw LunervError(.argument, "gradient_exchange: expected an owner for each parameter") }
    guard Ranks.shared.size == 1 || Ranks.firstTag + parameters.count <= Ranks.lastTag else {
      throw LunervError(
        .argument, "train: \(parameters.count) parameters are more than ranks can exchange")
    }
    tree = GradientTree(parameters)
    self.owners = owners
  }

  /// Begins a step of `count` frames; returns the range that this rank computes.
  func begin(count: Int) -> Range<Int> {
    tree.clear()
    self.count = count
    own = FrameTree.share(of: count, rank: ranks.rank, size: ranks.size)
    return own
  }

  /// Takes the gradients of frame `index` from the parameters, and adds up complete nodes among
  /// this rank's frames.
  func take(_ index: Int) throws {
    guard own.contains(index) else {
      throw LunervError(.argument, "gradient_exchange: frame \(index + 1) belongs to another rank")
    }
    var node = index..<(index + 1)
    tree.take(as: node)
    while let (other, parent) = FrameTree.sibling(of: node, among: count),
      own.lowerBound <= parent.lowerBound, parent.upperBound <= own.upperBound, tree.has(other)
    {
      let isLeft = node.lowerBound < other.lowerBound
      try tree.add(isLeft ? node : other, isLeft ? other : node, to: parent)
      node = parent
    }
  }

  /// Sums over all frames, as `grad` of the parameters that this rank owns; with `everywhere`, of
  /// all parameters.
  func finish(everywhere: Bool) throws {
    let nodes = (0..<ranks.size).map { peer in
      FrameTree.nodes(
        of: count, within: FrameTree.share(of: count, rank: peer, size: ranks.size))
    }
    var sent: [Ranks.Message] = []
    var incoming: [(message: Ranks.Message, parameter: Int, node: FrameTree.Node)] = []
    for (k, owner) in owners.enumerated() {
      let tag = Ranks.firstTag + k
      if owner != ranks.rank {
        for node in nodes[ranks.rank] {
          let bytes = try tree.bytes(of: k, in: node) ?? GradientExchange.none
          sent.append(try ranks.send(bytes, to: owner, tag: tag))
        }
        continue
      }
      for peer in 0..<ranks.size where peer != ranks.rank {
        for node in nodes[peer] {
          let room = try tree.room(for: k, in: node)
          incoming.append((try ranks.receive(room, from: peer, tag: tag), k, node))
        }
      }
    }
    try ranks.wait(sent + incoming.map(\.message), as: "gradients")
    for (message, k, node) in incoming where message.count == 0 { tree.setNone(k, in: node) }
    for (k, owner) in owners.enumerated() where owner == ranks.rank {
      try settle(k, 0..<count)
      try tree.give(k, of: 0..<count)
    }
    if everywhere { try spreadGradients() }
    tree.clear()
  }

  /// Adds up a node of the tree for one parameter, once all of its gradients have arrived.
  private func settle(_ k: Int, _ node: FrameTree.Node) throws {
    if node.count == 1 || tree.has(node, parameter: k) { return }
    let (left, right) = FrameTree.halves(of: node)
    try settle(k, left)
    try settle(k, right)
    try tree.add(left, right, to: node, parameter: k)
  }

  /// Sends the sums to the ranks that do not own the parameter.
  private func spreadGradients() throws {
    let root = 0..<count
    var messages: [Ranks.Message] = []
    var rooms: [(message: Ranks.Message, parameter: Int)] = []
    for (k, owner) in owners.enumerated() {
      let tag = Ranks.firstTag + k
      if owner == ranks.rank {
        let bytes = try tree.bytes(of: k, in: root) ?? GradientExchange.none
        for peer in 0..<ranks.size where peer != ranks.rank {
          messages.append(try ranks.send(bytes, to: peer, tag: tag))
        }
      } else {
        rooms.append((try ranks.receive(try tree.room(for: k, in: root), from: owner, tag: tag), k))
      }
    }
    try ranks.wait(messages + rooms.map(\.message), as: "gradients")
    for (message, k) in rooms {
      if message.count == 0 { tree.setNone(k, in: root) }
      try tree.give(k, of: root)
    }
  }

  /// Sends the values of the parameters that this rank owns, and receives the others.
  func spreadParameters() throws {
    guard ranks.size > 1 else { return }
    var messages: [Ranks.Message] = []
    for (k, owner) in owners.enumerated() {
      let tag = Ranks.firstTag + k
      let memory = try tree.memory(of: k)
      if owner == ranks.rank {
        for peer in 0..<ranks.size where peer != ranks.rank {
          messages.append(try ranks.send(UnsafeRawBufferPointer(memory), to: peer, tag: tag))
        }
      } else {
        messages.append(try ranks.receive(memory, from: owner, tag: tag))
      }
    }
    try ranks.wait(messages, as: "parameters")
  }

  // MARK: - Lua

  static func define(_ m: LuaModule) -> LuaClass<GradientExchange> {
    m.define(
      "gradient_exchange", params: ["parameters", "owners"],
      doc: "Sums the gradients of a step's frames over all ranks; see train/team.lua."
    ) { (parameters: [Tensor], owners: [Int]) in
      try GradientExchange(parameters, owners: owners)
    }
    let c = LuaClass<GradientExchange>()
    c.method(
      "begin", params: ["count"],
      doc: "Begins a step of this many frames; returns the first and the last of this rank's."
    ) { (x: GradientExchange, count: Int) -> LuaResults in
      let own = x.begin(count: Swift.max(count, 1))
      return LuaResults(own.lowerBound + 1, own.upperBound)
    }
    c.method("take", params: ["index"], doc: "Takes the gradients of a frame of the step.") {
      (x: GradientExchange, index: Int) in try x.take(index - 1)
    }
    c.method(
      "finish", params: ["everywhere"], doc: "Replaces gradients by their sums over all frames."
    ) {
      (x: GradientExchange, everywhere: Bool) in try x.finish(everywhere: everywhere)
    }
    c.method("spread", doc: "Sends every parameter from its owner to all ranks.") {
      (x: GradientExchange) in try x.spreadParameters()
    }
    return c
  }
}
