import Kernels
import Support

// Pending pointwise values: how they are built, and how a reader's program is compiled from as much
// of the expression as shares its index space.

/// Longer chains are cut by storing an intermediate value.
private let deepest = 64
private let deepestNesting = 64
/// The limits of one program's computation and reads: each may need a buffer, and trees are wider
/// than deep. The rest of a larger expression is stored by separate programs.
private let mostRegisters = 2048

extension Value {
  private var depth: Int {
    switch state {
    case .pointwise(let node): node.depth
    case .unshuffled(let source, _): source.depth + 1
    case .stored, .convolution, .channelSums: 0
    }
  }

  /// Computes this value now if the pending depth below it is at its limit.
  func keepShallow() throws { if depth >= deepest { try materialise() } }

  /// The nesting depth of pending convolutions below this value.
  private var nesting: Int {
    switch state {
    case .stored: 0
    case .pointwise(let node): node.nesting
    case .convolution(let call): call.nesting
    case .unshuffled(let source, _), .channelSums(let source): source.nesting
    }
  }

  /// The nesting depth of a convolution over these operands; operands at the limit are computed
  /// now.
  static func nesting(over operands: [Value]) throws -> Int {
    for v in operands where v.nesting >= deepestNesting { try v.materialise() }
    return 1 + (operands.map(\.nesting).max() ?? 0)
  }

  /// A pending pointwise value over the broadcast shape of its operands.
  static func pointwise(
    _ op: PointwiseOperator, _ operands: [Value], p: Double = 0, q: Double = 0,
    shape given: [Int]? = nil, prefer: Layout? = nil
  ) throws -> Value {
    guard let first = operands.first, first.isFloating else {
      return try integers(op, operands, p: p, q: q, shape: given)
    }
    var shape = given ?? first.shape
    for other in operands.dropFirst() {
      guard other.dtype == first.dtype else {
        throw LunervError(
          .argument,
          "\(op.functionName): \(first.dtype.rawValue) and \(other.dtype.rawValue) do not mix (use :to)"
        )
      }
      shape = try Shape.broadcast(shape, other.shape, for: op.functionName)
    }
    var layout = Layout.contiguous
    if shape.count == 4, first.dtype == .f32 {
      // The largest operand decides; channels-last wins ties.
      var best = -1
      for v in operands where v.shape.count == 4 && v.count >= best && v.count > 1 {
        if v.count > best || v.layout == .channelsLast { layout = v.layout }
        best = v.count
      }
      if let prefer { layout = prefer }
    }
    try Work.charge(Work.call)
    var (depth, nesting) = (0, 0)
    for v in operands {
      try v.keepShallow()
      v.readers += 1
      depth = max(depth, v.depth)
      nesting = max(nesting, v.nesting)
    }
    return Value(
      shape: shape, dtype: first.dtype, layout: layout,
      state: .pointwise(
        .init(
          op: op, operands: operands, p: p, q: q, depth: depth + 1, nesting: nesting)))
  }

  /// Applies an activation to a pending convolution without other readers, as the convolution
  /// writes its result; returns whether it did. Never while recording: gradients would need the
  /// convolution's own values.
  @discardableResult func absorb() throws -> Bool {
    guard case .pointwise(let node) = state, node.operands.count == 1,
      case .convolution(let call) = node.operands[0].state, !call.recorded,
      node.operands[0].readers == 1, shape == node.operands[0].shape,
      layout == node.operands[0].layout,
      let call = call.activated(by: node.op, node.operands[0])
    else { return false }
    state = try call.run(shape: shape, layout: layout).state
    return true
  }

  /// The program that yields this value over its physical index space. A stored value is a
  /// program of one leaf and no instruction.
  func program<T: PointwiseScalar>(of type: T.Type) throws -> PointwiseProgramOf<T> {
    var compiler = Compiler<T>(root: self)
    let result = try compiler.register(for: self)
    try compiler.charge()
    Session.current.profiler?.runs(compiler.code.count, over: count)
    return compiler.finish([result])
  }

  /// One program for several values over the index space of the first.
  static func program(of values: [Value]) throws -> PointwiseProgram {
    var compiler = Compiler<Float>(root: values[0])
    let results = try values.map { try compiler.register(for: $0) }
    try compiler.charge()
    Session.current.profiler?.runs(compiler.code.count, over: values[0].count)
    return compiler.finish(results)
  }

  /// The full-size arrays that the program of this value reads.
  var fullLeaves: Set<ObjectIdentifier> {
    var seen: Set<ObjectIdentifier> = []
    var stack = [self]
    var leaves: Set<ObjectIdentifier> = []
    while let v = stack.popLast() {
      guard seen.insert(ObjectIdentifier(v)).inserted else { continue }
      if v.shape == shape, v.layout == layout, case .pointwise(let node) = v.state {
        stack.append(contentsOf: node.operands)
      } else if v.count == count {
        leaves.insert(ObjectIdentifier(v))
      }
    }
    return leaves
  }

  struct Compiler<T: PointwiseScalar> {
    typealias Program = PointwiseProgramOf<T>
    let root: Value
    var leaves: [Program.Leaf] = []
    var owners: [AnyObject] = []
    var code: [(instruction: Program.Instruction, operands: [Register])] = []
    var known: [ObjectIdentifier: Register] = [:]

    enum Register {
      case leaf(Int)
      case result(Int)
    }

    init(root: Value) { self.root = root }

    private var registers: Int { leaves.count + code.count }

    /// Charges for making the program, once per reader, and for running it.
    func charge() throws {
      try Work.charge(registers, Work.call / 2)
      try Work.charge(root.physicalCount, code.count)
    }

    mutating func register(for v: Value) throws -> Register {
      if let r = known[ObjectIdentifier(v)] { return r }
      try v.absorb()
      let r: Register
      if v.shape == root.shape, v.layout == root.layout, registers < mostRegisters,
        case .pointwise(let node) = v.state
      {
        var operands: [Register] = []
        for o in node.operands { operands.append(try register(for: o)) }
        code.append((.init(node.op, -1, p: node.p, q: node.q), operands))
        r = .result(code.count - 1)
      } else {
        leaves.append(try leaf(for: v))
        r = .leaf(leaves.count - 1)
      }
      known[ObjectIdentifier(v)] = r
      // The identity of an operand is its address, so it must outlive the compilation.
      owners.append(v)
      return r
    }

    private mutating func stored(_ v: Value) throws -> UnsafePointer<T> {
      let p = try v.memory(T.self)
      if case .stored(let storage, _) = v.state { owners.append(storage) }
      return UnsafePointer(p)
    }

    private mutating func leaf(for v: Value) throws -> Program.Leaf {
      if root.count == 0 { return .constant(0) }
      if v.count == 1 { return .constant(try stored(v)[0]) }
      if v.shape == root.shape {
        return .flat(try stored(v.converted(to: root.layout)))
      }
      let shape = Shape.padded(v.shape, rank: root.shape.count)
      return root.layout == .channelsLast
        ? try channelsLastLeaf(v, shape) : try contiguousLeaf(v, shape)
    }

    private mutating func channelsLastLeaf(_ v: Value, _ shape: [Int]) throws -> Program.Leaf {
      let s = root.shape
      var v = v
      if v.shape.count < 4 { v = try v.reinterpreted(shape: shape) }
      if shape[1] == 1 {
        v = try v.contiguous()
        let p = try stored(v)
        if shape == [s[0], 1, s[2], s[3]] { return .repeated(p, count: root.lanes) }
        return .strided(
          p, sizes: [s[0], s[2], s[3], root.lanes],
          strides: strides(Shape.contiguousStrides(shape), shape, order: [0, 2, 3, 1]))
      }
      v = try v.converted(to: .channelsLast)
      let p = try stored(v)
      if shape == [1, s[1], 1, 1] { return .periodic(p, count: root.lanes) }
      return .strided(
        p, sizes: [s[0], s[2], s[3], root.lanes],
        strides: strides(v.strides, shape, order: [0, 2, 3, 1]))
    }

    private mutating func contiguousLeaf(_ v: Value, _ shape: [Int]) throws -> Program.Leaf {
      let s = root.shape
      let p = try stored(v.contiguous())
      let n = v.count
      // Leading dimensions broadcast, or trailing ones.
      if let split = s.indices.first(where: { Array(shape[$0...]) == Array(s[$0...]) }),
        shape[..<split].allSatisfy({ $0 == 1 })
      {
        return .periodic(p, count: n)
      }
      if let split = s.indices.last(where: { Array(shape[..<$0]) == Array(s[..<$0]) }),
        shape[split...].allSatisfy({ $0 == 1 })
      {
        return .repeated(p, count: root.count / n)
      }
      return .strided(
        p, sizes: s,
        strides: strides(Shape.contiguousStrides(shape), shape, order: Array(s.indices)))
    }

    private func strides(_ strides: [Int], _ shape: [Int], order: [Int]) -> [Int] {
      order.map { shape[$0] == 1 ? 0 : strides[$0] }
    }

    /// The program whose results are `wanted`, or for a single one, the last register.
    func finish(_ wanted: [Register]) -> Program {
      func index(_ r: Register) -> Int {
        switch r {
        case .leaf(let i): i
        case .result(let i): leaves.count + i
        }
      }
      var instructions = code.map { item in
        let r = item.operands.map(index)
        return Program.Instruction(
          item.instruction.op, r[0], r.count > 1 ? r[1] : -1, r.count > 2 ? r[2] : -1,
          p: item.instruction.p, q: item.instruction.q)
      }
      let (code, place) = fused(instructions, keeping: wanted.map(index))
      instructions = code
      // A single flat leaf is read in place.
      let isFlat = if case .flat? = leaves.first { true } else { false }
      if wanted.count == 1, instructions.isEmpty, !isFlat {
        instructions.append(.init(.copy, 0))
      }
      let padded = root.layout == .channelsLast && root.lanes != root.shape[1]
      let zeros = padded ? keepsZero(instructions) : []
      let results = wanted.map { r in
        let register =
          wanted.count == 1
          ? max(0, leaves.count + instructions.count - 1) : place[index(r)]
        return Program.Result(register, masked: padded && !zeros[register])
      }
      return Program(
        count: root.physicalCount, leaves: leaves, instructions: instructions,
        lanes: root.layout == .channelsLast ? root.lanes : 1,
        channels: root.layout == .channelsLast ? root.shape[1] : 1, results: results,
        owners: owners)
    }

    /// Fuses a product that only a sum reads into it: a·b + c in one instruction. Also returns the
    /// new index of each register.
    private func fused(_ code: [Program.Instruction], keeping wanted: [Int]) -> (
      [Program.Instruction], [Int]
    ) {
      var uses = [Int](repeating: 0, count: leaves.count + code.count)
      for i in code { for r in [i.a, i.b, i.c] where r >= 0 { uses[r] += 1 } }
      for r in wanted { uses[r] += 1 }
      func product(_ r: Int) -> Program.Instruction? {
        guard r >= leaves.count, uses[r] == 1, code[r - leaves.count].op == .multiply else {
          return nil
        }
        return code[r - leaves.count]
      }
      var code = code
      var gone: Set<Int> = []
      for i in code.indices where code[i].op == .add {
        let (a, b) = (code[i].a, code[i].b)
        if let m = product(a) {
          code[i] = .init(.multiplyAdd, m.a, m.b, b)
          gone.insert(a)
        } else if let m = product(b) {
          code[i] = .init(.multiplyAdd, m.a, m.b, a)
          gone.insert(b)
        }
      }
      var place = Array(0..<leaves.count + code.count)
      if gone.isEmpty { return (code, place) }
      var next = leaves.count
      for i in code.indices {
        place[leaves.count + i] = next
        if !gone.contains(leaves.count + i) { next += 1 }
      }
      let left = code.indices.filter { !gone.contains(leaves.count + $0) }.map {
        var instruction = code[$0]
        instruction.a = place[instruction.a]
        if instruction.b >= 0 { instruction.b = place[instruction.b] }
        if instruction.c >= 0 { instruction.c = place[instruction.c] }
        return instruction
      }
      return (left, place)
    }

    /// For each register, whether padding lanes become zero without help. Constants, and operands
    /// that have padding lanes of their own, are known there; operands with one value per pixel or
    /// image are not.
    private func keepsZero(_ instructions: [Program.Instruction]) -> [Bool] {
      var known: [Double?] = leaves.map { leaf in
        switch leaf {
        case .flat, .periodic: 0
        case .constant(let v): Double(v)
        // A leaf that varies by channel has its own padding.
        case .strided(_, _, let strides) where strides.last != 0: 0
        case .repeated, .strided: nil
        }
      }
      for ins in instructions {
        let x = known[ins.a]
        let y = ins.b >= 0 ? known[ins.b] : 0
        let z = ins.c >= 0 ? known[ins.c] : 0
        if var a = x, var b = y, var c = z {
          var out = 0.0
          Double.apply(ins.op, p: ins.p, q: ins.q, 1, &a, &b, &c, &out)
          known.append(out)
          continue
        }
        // Times 0, a computed number may be NaN: it may be infinite.
        let vanishes = x == 0 && ins.b < leaves.count || y == 0 && ins.a < leaves.count
        switch ins.op {
        case .multiply where vanishes: known.append(0)
        case .multiplyAdd where vanishes: known.append(z)
        case .choose where x == 0 && y == 0: known.append(0)
        default: known.append(nil)
        }
      }
      return known.map { $0 == 0 }
    }
  }
}
