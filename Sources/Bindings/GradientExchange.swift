import LuaBridge
import Ranks
import Support
import Tensors

/// Sums the gradients of a step's frames over all ranks.
///
/// Each parameter has an owner, the rank that sums its gradients and updates it; the others send
/// their gradients to that rank and receive the new values. Sums are added in the order of
/// ``FrameTree``, so a step gives the same bits for any number of ranks, including one.
///
/// A gradient is sent as soon as it is complete, while the backward pass computes the next ones.
/// Every step ends with ``finish(everywhere:)`` or ``drop()``, the same on all ranks: otherwise its
/// messages would be taken for those of the next step.
final class GradientExchange: LuaObject {
  static var luaName: String { "gradient_exchange" }

  private let ranks = Ranks.shared
  private let tree: GradientTree
  private let owners: [Int]
  private let places: [ObjectIdentifier: Int]
  private var step: Step?

  /// The frames of a step and their messages.
  private final class Step {
    let count: Int
    /// The frames of this rank.
    let own: Range<Int>
    /// By rank, the sums that it sends for each parameter, in this order.
    let nodes: [[FrameTree.Node]]
    /// The parameters whose gradient in the current frame was taken.
    var taken: Set<Int> = []
    /// By parameter, how many of this rank's sums were sent.
    var sent: [Int]
    var outgoing: [Ranks.Message] = []
    /// nil until the first frame's backward pass.
    var incoming: [Arrival]?

    init(count: Int, parameters: Int, _ ranks: Ranks) {
      let shares = (0..<ranks.size).map { FrameTree.share(of: count, rank: $0, size: ranks.size) }
      self.count = count
      own = shares[ranks.rank]
      nodes = shares.map { FrameTree.nodes(of: count, within: $0) }
      sent = [Int](repeating: 0, count: parameters)
    }
  }

  private typealias Arrival = (message: Ranks.Message, parameter: Int, node: FrameTree.Node)

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
    places = Dictionary(
      parameters.enumerated().map { (ObjectIdentifier($1), $0) }, uniquingKeysWith: { k, _ in k })
  }

  /// Begins a step of `count` frames; returns the range that this rank computes.
  func begin(count: Int) -> Range<Int> {
    tree.clear()
    let step = Step(count: count, parameters: owners.count, ranks)
    self.step = step
    return step.own
  }

  // MARK: - Frames of this rank

  /// The backward pass of frame `index`; takes its gradients from the parameters.
  func backward(_ loss: Tensor, frame index: Int) throws {
    let step = try current(with: index)
    try receive(in: step)
    let session = Session.current
    let outer = session.betweenKernels
    session.betweenKernels = {
      try outer?()
      try self.advance(step)
    }
    defer { session.betweenKernels = outer }
    try loss.backward(each: { leaf in
      if let k = self.places[ObjectIdentifier(leaf)] { try self.take(k, in: index, of: step) }
    })
    try take(frame: index)
  }

  /// Takes the gradients of frame `index` that were not yet taken.
  func take(frame index: Int) throws {
    let step = try current(with: index)
    for (k, parameter) in tree.parameters.enumerated() {
      if !step.taken.contains(k) {
        try take(k, in: index, of: step)
      } else if parameter.grad != nil {
        throw LunervError(
          .argument,
          "train: a backward pass inside that of the loss changed a gradient that was complete: "
            + "use lv.grad there, which changes no grad")
      }
    }
    step.taken = []
  }

  /// The step that has begun; `index` is one of its frames on this rank.
  private func current(with index: Int? = nil) throws -> Step {
    guard let step else {
      throw LunervError(.argument, "gradient_exchange: expected a step that has begun")
    }
    if let index, !step.own.contains(index) {
      throw LunervError(.argument, "gradient_exchange: frame \(index &+ 1) belongs to another rank")
    }
    return step
  }

  /// Takes a parameter's gradient in a frame, adds up complete nodes among this rank's frames, and
  /// sends what is needed elsewhere.
  private func take(_ k: Int, in index: Int, of step: Step) throws {
    step.taken.insert(k)
    var node = index..<(index + 1)
    tree.take(k, as: node)
    while let (other, parent) = FrameTree.sibling(of: node, among: step.count),
      step.own.lowerBound <= parent.lowerBound, parent.upperBound <= step.own.upperBound,
      tree.has(k, other)
    {
      let isLeft = node.lowerBound < other.lowerBound
      try tree.add(k, isLeft ? node : other, isLeft ? other : node, to: parent)
      node = parent
    }
    if owners[k] != ranks.rank, step.nodes[ranks.rank].contains(node) {
      try send(k, try tree.bytes(of: k, in: node) ?? GradientExchange.none, in: step)
    }
  }

  // MARK: - Messages

  private func send(_ k: Int, _ bytes: UnsafeRawBufferPointer, in step: Step) throws {
    step.outgoing.append(try ranks.send(bytes, to: owners[k], tag: Ranks.firstTag + k))
    step.sent[k] += 1
  }

  /// Makes room for the sums of the other ranks, once per step: a large message is sent only once
  /// there is room for it.
  private func receive(in step: Step) throws {
    guard step.incoming == nil else { return }
    var incoming: [Arrival] = []
    defer { step.incoming = incoming }
    try orAbandon {
      for (k, owner) in owners.enumerated() where owner == ranks.rank {
        for peer in 0..<ranks.size where peer != ranks.rank {
          for node in step.nodes[peer] {
            let room = try tree.room(for: k, in: node)
            let message = try ranks.receive(room, from: peer, tag: Ranks.firstTag + k)
            incoming.append((message, k, node))
          }
        }
      }
    }
  }

  /// If `body` fails, the other ranks' messages cannot be matched with steps any more.
  private func orAbandon(_ body: () throws -> Void) throws {
    do {
      try body()
    } catch {
      ranks.abandon()
      throw error
    }
  }

  /// Lets messages make progress, which an MPI library does only when it is called.
  private func advance(_ step: Step) throws {
    if let first = step.outgoing.first(where: { !$0.isDone })
      ?? step.incoming?.first(where: { !$0.message.isDone })?.message
    {
      _ = try ranks.poll([first])
    }
  }

  // MARK: - The end of a step

  /// Sums over all frames, as `grad` of the parameters that this rank owns; with `everywhere`, of
  /// all parameters.
  func finish(everywhere: Bool) throws {
    let step = try current()
    let count = step.count
    for (message, k, node) in try settle(step) where message.count == 0 {
      tree.setNone(k, in: node)
    }
    for (k, owner) in owners.enumerated() where owner == ranks.rank {
      try sum(k, 0..<count)
      try tree.give(k, of: 0..<count)
    }
    if everywhere { try spreadGradients(of: 0..<count) }
    tree.clear()
  }

  /// Ends a step without a result, on all ranks: what was not sent is sent as nothing, and what
  /// arrives is dropped.
  func drop() throws {
    guard let step else { return }
    guard !ranks.isBroken else {
      // Messages may still be written into this memory.
      GradientExchange.abandoned.append(tree)
      self.step = nil
      return
    }
    try orAbandon {
      for (k, owner) in owners.enumerated() where owner != ranks.rank {
        for _ in step.nodes[ranks.rank].dropFirst(step.sent[k]) {
          try send(k, GradientExchange.none, in: step)
        }
      }
      _ = try settle(step)
    }
    tree.clear()
  }

  private nonisolated(unsafe) static var abandoned: [GradientTree] = []

  /// Waits for the messages of a step, which then is over; returns those that came.
  private func settle(_ step: Step) throws -> [Arrival] {
    try receive(in: step)
    let incoming = step.incoming ?? []
    try ranks.wait(step.outgoing + incoming.map(\.message), as: "gradients")
    self.step = nil
    return incoming
  }

  /// Adds up a node of the tree for one parameter, once all of its gradients have arrived.
  private func sum(_ k: Int, _ node: FrameTree.Node) throws {
    if node.count <= 1 || tree.has(k, node) { return }
    let (left, right) = FrameTree.halves(of: node)
    try sum(k, left)
    try sum(k, right)
    try tree.add(k, left, right, to: node)
  }

  /// Sends the sums to the ranks that do not own the parameter.
  private func spreadGradients(of root: FrameTree.Node) throws {
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

  static func define(_ m: LuaModule, _ pressure: Pressure) -> LuaClass<GradientExchange> {
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
    c.method(
      "backward", params: ["index", "loss"],
      doc: "The backward pass of a frame of the step, whose gradients it takes and sends."
    ) { (x: GradientExchange, index: Int, loss: Tensor) in
      try pressure.beforeBackward()
      try x.backward(loss, frame: index &- 1)
    }
    c.method("take", params: ["index"], doc: "Takes the gradients of a frame of the step.") {
      (x: GradientExchange, index: Int) in try x.take(frame: index &- 1)
    }
    c.method(
      "finish", params: ["everywhere"], doc: "Replaces gradients by their sums over all frames."
    ) {
      (x: GradientExchange, everywhere: Bool) in try x.finish(everywhere: everywhere)
    }
    c.method("drop", doc: "Ends a step without a result, if it is not over; all ranks call it.") {
      (x: GradientExchange) in try x.drop()
    }
    c.method("spread", doc: "Sends every parameter from its owner to all ranks.") {
      (x: GradientExchange) in try x.spreadParameters()
    }
    return c
  }
}
