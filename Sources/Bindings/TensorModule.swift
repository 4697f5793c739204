import Kernels
import LuaBridge
import Support
import Tensors

/// Tensors: making, reading, writing, arithmetic, shapes, reductions.
enum TensorModule {
  static func define(
    _ s: TensorSurface, _ session: Session, beforeBackward: @escaping () throws -> Void
  ) {
    making(s.module, session)
    reading(s)
    writing(s, session)
    arithmetic(s)
    shapes(s)
    reductions(s)
    autograd(s, beforeBackward)
  }

  private static func making(_ m: LuaModule, _ session: Session) {
    m.pure(
      "tensor", params: ["numbers", "options"],
      doc: "A tensor of a number or of nested tables of numbers; options dtype, requires_grad."
    ) { (n: Numbers, o: MakeOptions) in
      try o.finish(Tensor.from(n.numbers, n.shape, o.dtype ?? .f32))
    }
    m.pure("zeros", params: ["sizes…", "options"], doc: "A tensor of zeros.") {
      (s: Sizes) in
      try s.options.finish(Tensor.full(0, s.shape, s.options.dtype ?? .f32))
    }
    m.pure("ones", params: ["sizes…", "options"], doc: "A tensor of ones.") {
      (s: Sizes) in
      try s.options.finish(Tensor.full(1, s.shape, s.options.dtype ?? .f32))
    }
    m.pure(
      "full", params: ["value", "sizes…", "options"], doc: "A tensor of one value."
    ) {
      (value: Double, s: Sizes) in
      try s.options.finish(Tensor.full(value, s.shape, s.options.dtype ?? .f32))
    }
    m.pure(
      "randn", params: ["sizes…", "options"],
      doc: "Draws from the normal distribution."
    ) {
      (s: Sizes) in
      let t = try Tensor.full(0, s.shape, s.options.dtype ?? .f32)
      try t.fillNormal(&session.random, mean: 0, deviation: 1)
      return try s.options.finish(t)
    }
    m.pure(
      "rand", params: ["sizes…", "options"], doc: "Uniform draws from [0, 1)."
    ) {
      (s: Sizes) in
      let t = try Tensor.full(0, s.shape, s.options.dtype ?? .f32)
      try t.fillUniform(&session.random, lo: 0, hi: 1)
      return try s.options.finish(t)
    }
    m.pure(
      "arange", params: ["first", "last", "step", "options"],
      doc: "first, first + step, … up to last, which is included."
    ) { (first: Double, last: Double, step: Double?, o: MakeOptions) in
      let step = step ?? 1
      guard step != 0, first.isFinite, last.isFinite, step.isFinite else {
        throw LunervError(.argument, "arange: expected finite numbers and a step that is not 0")
      }
      let count = ((last - first) / step + 1e-9).rounded(.down) + 1
      guard count < 1e9, count * 8 <= Double(session.memoryLimit) else {
        throw LunervError(.memory, "arange: \(count) numbers are too many")
      }
      try Work.charge(max(0, Int(count)))
      let numbers = (0..<max(0, Int(count))).map { first + Double($0) * step }
      return try o.finish(Tensor.from(numbers, [numbers.count], o.dtype ?? .f32))
    }
    m.define("seed", params: ["n"], doc: "Starts the random numbers anew.") { (n: Int) in
      session.random = Philox(seed: UInt64(bitPattern: Int64(n)))
    }
    m.define("rng_state", doc: "The random numbers' state: seed and counter.") {
      () -> [String: Int] in
      [
        "seed": Int(truncatingIfNeeded: session.random.seed),
        "counter": Int(truncatingIfNeeded: session.random.counter),
      ]
    }
    m.define("set_rng_state", params: ["state"], doc: "Takes up a state of rng_state().") {
      (state: [String: Int]) in
      guard let seed = state["seed"], let counter = state["counter"], state.count == 2 else {
        throw LunervError(.argument, "set_rng_state: expected seed and counter")
      }
      session.random = Philox(
        seed: UInt64(truncatingIfNeeded: seed), counter: UInt64(truncatingIfNeeded: counter))
    }
    m.define("permutation", params: ["n"], doc: "1…n in random order, as a table.") {
      (n: Int) -> [Int] in
      guard n >= 0, n <= 1 << 24 else {
        throw LunervError(.argument, "permutation: expected 0 to 2²⁴, got \(n)")
      }
      return session.random.permutation(n).map { $0 + 1 }
    }
    m.define("is_tensor", params: ["x"], doc: "Whether x is a tensor.") { (v: LuaValue) -> Bool in
      if case .object(let object) = v { return object is Tensor }
      return false
    }
  }

  private static func nested(
    _ shape: ArraySlice<Int>, _ numbers: ArraySlice<Double>, integral: Bool
  )
    -> LuaValue
  {
    guard let n = shape.first else {
      let v = numbers.first ?? 0
      return integral ? .int(Int(v)) : .number(v)
    }
    let inner = n == 0 ? 0 : numbers.count / n
    return .array(
      (0..<n).map {
        let from = numbers.startIndex + $0 * inner
        return nested(shape.dropFirst(), numbers[from..<from + inner], integral: integral)
      })
  }

  private static func preview(_ t: Tensor) throws -> String {
    let head = "tensor \(t.dtype.rawValue) (\(t.shape.map(String.init).joined(separator: ", ")))"
    if t.count == 0 { return head }
    let few = try t.first(t.count > 8 ? 6 : 8)
    let isIntegral = t.dtype != .f32 && t.dtype != .f64
    func short(_ v: Double) -> String {
      if v == v.rounded(), abs(v) < (isIntegral ? 0x1p53 : 1e6) { return String(Int(v)) }
      if !v.isFinite { return "\(v)" }
      let digits = abs(v) >= 1e-3 && abs(v) < 1e6 ? 1e4 : 0
      if digits > 0 { return "\((v * digits).rounded() / digits)" }
      return t.dtype == .f64 ? "\(v)" : "\(Float(v))"
    }
    return head + ": " + few.map(short).joined(separator: " ") + (t.count > 8 ? " …" : "")
  }

  private static func reading(_ s: TensorSurface) {
    let t = s.tensors
    t.property("shape", doc: "The sizes, as a new table.") { $0.shape }
    t.property("dtype", doc: "f32, f64, i32, u8 or bool.") { $0.dtype }
    t.property(
      "grad", doc: "The gradient that backward left, or nil; nil may be assigned.",
      get: { (x: Tensor) -> Tensor? in x.grad },
      set: { (x: Tensor, g: Tensor?) in
        guard g == nil else { throw LunervError(.argument, "grad: only nil can be assigned") }
        x.clearGrad()
      })
    t.property(
      "requires_grad", doc: "Whether gradients flow to this tensor.",
      get: { (x: Tensor) -> Bool in x.requiresGrad },
      set: { (x: Tensor, on: Bool) in try x.setRequiresGrad(on) })
    t.property(
      "is_leaf", doc: "Whether it was not computed from tensors that gradients flow to.",
      get: { (x: Tensor) -> Bool in x.isLeaf })
    t.meta("__index") { (_: Tensor, key: LuaValue) in
      let problem =
        switch key {
        case .int, .number:
          "a tensor is not indexed by numbers: use :select(1, i), or :tolist() for a table"
        case .string(let name): "a tensor has no field '\(name.printable)'"
        default: "a tensor has no fields but those with names"
        }
      throw LunervError(.argument, problem)
    }
    t.meta("__len") { (x: Tensor) -> Int in x.shape.first ?? 0 }
    t.meta("__tostring") { (x: Tensor) -> String in try preview(x) }
    s.pure("size", params: ["dim"], doc: "One size, or all of them.") {
      (x: Tensor, d: Int?) -> LuaResults in
      if let d { return LuaResults(x.shape[try dimension(d, x, "size")]) }
      return LuaResults(list: x.shape.map { $0 })
    }
    s.pure("dim", doc: "How many dimensions.") { (x: Tensor) -> Int in x.shape.count }
    s.pure("numel", doc: "How many elements.") { (x: Tensor) -> Int in x.count }
    s.pure("item", doc: "The number in a tensor of one element.") { (x: Tensor) -> LuaValue in
      let v = try x.item()
      return x.dtype == .f32 || x.dtype == .f64 ? .number(v) : .int(Int(v))
    }
    s.pure("tolist", doc: "The elements as nested tables.") { (x: Tensor) -> LuaValue in
      let integral = x.dtype != .f32 && x.dtype != .f64
      return nested(x.shape[...], try x.numbers()[...], integral: integral)
    }
    s.pure("to", params: ["dtype"], doc: "The same numbers in another dtype.") {
      (x: Tensor, d: DType) in try x.cast(to: d)
    }
    s.pure("detach", doc: "The same value, off the tape.") { (x: Tensor) in
      x.giving(x.detach(), as: "detach")
    }
    s.pure("clone", doc: "A copy.") { (x: Tensor) in try x.clone() }
    s.pure("evaluate", doc: "Computes a pending value now; returns the tensor.") {
      (x: Tensor) -> Tensor in
      try x.materialise()
      return x
    }
    s.pure("is_finite", doc: "Whether no element is infinite or not a number.") {
      (x: Tensor) -> Bool in
      guard x.dtype == .f32 || x.dtype == .f64 else { return true }
      // x − x is zero unless x is infinite or not a number.
      let d = x.detach()
      return try d.subtracting(d).sum().item() == 0
    }
  }

  private static func writing(_ s: TensorSurface, _ session: Session) {
    s.op("uniform_", params: ["lo", "hi"], doc: "Fills with uniform draws from [lo, hi).") {
      (x: Tensor, lo: Double, hi: Double) -> Tensor in
      try x.fillUniform(&session.random, lo: lo, hi: hi)
      return x
    }
    s.op("normal_", params: ["mean", "std"], doc: "Fills with normal draws.") {
      (x: Tensor, mean: Double, std: Double) -> Tensor in
      try x.fillNormal(&session.random, mean: mean, deviation: std)
      return x
    }
    s.op("trunc_normal_", params: ["std"], doc: "Fills with normal draws cut off at ±2.") {
      (x: Tensor, std: Double) -> Tensor in
      try x.fillNormal(&session.random, mean: 0, deviation: std, bound: 2)
      return x
    }
    func inPlace(_ x: Tensor, _ name: String, _ value: (Tensor) throws -> Tensor) throws -> Tensor {
      try x.assign(value(x.detach()), as: name)
      return x
    }
    s.op("fill_", params: ["value"], doc: "Sets every element.") { (x: Tensor, v: Double) in
      try inPlace(x, "fill_") { try Tensor.full(v, $0.shape, $0.dtype) }
    }
    s.op("zero_", doc: "Sets every element to 0.") { (x: Tensor) in
      try inPlace(x, "zero_") { try Tensor.full(0, $0.shape, $0.dtype) }
    }
    s.op("copy_", params: ["other"], doc: "Takes over the elements of a tensor alike.") {
      (x: Tensor, other: Tensor) in try inPlace(x, "copy_") { _ in try other.detach().clone() }
    }
    s.op("add_", params: ["y", "alpha"], doc: "x + alpha·y in place.") {
      (x: Tensor, y: Operand, alpha: Double?) in
      try inPlace(x, "add_") {
        try $0.adding(y.tensor(like: $0).detach().multiplied(by: alpha ?? 1))
      }
    }
    s.op("mul_", params: ["y"], doc: "x·y in place.") { (x: Tensor, y: Operand) in
      try inPlace(x, "mul_") { try $0.multiplied(by: y.tensor(like: $0).detach()) }
    }
  }

  private static func arithmetic(_ s: TensorSurface) {
    let t = s.tensors
    func pair(_ a: Operand, _ b: Operand) throws -> (Tensor, Tensor) {
      switch (a, b) {
      case (.tensor(let x), let y): (x, try y.tensor(like: x))
      case (let x, .tensor(let y)): (try x.tensor(like: y), y)
      default: throw LunervError(.argument, "expected a tensor")
      }
    }
    t.meta("__add") { (a: Operand, b: Operand) -> Tensor in
      switch (a, b) {
      case (.tensor(let x), .number(let n)), (.number(let n), .tensor(let x)): try x.adding(n)
      default: try pair(a, b).0.adding(pair(a, b).1)
      }
    }
    t.meta("__sub") { (a: Operand, b: Operand) -> Tensor in
      switch (a, b) {
      case (.tensor(let x), .number(let n)): try x.adding(-n)
      case (.number(let n), .tensor(let x)): try x.negated().adding(n)
      default: try pair(a, b).0.subtracting(pair(a, b).1)
      }
    }
    t.meta("__mul") { (a: Operand, b: Operand) -> Tensor in
      switch (a, b) {
      case (.tensor(let x), .number(let n)), (.number(let n), .tensor(let x)):
        try x.multiplied(by: n)
      default: try pair(a, b).0.multiplied(by: pair(a, b).1)
      }
    }
    t.meta("__div") { (a: Operand, b: Operand) -> Tensor in
      let (x, y) = try pair(a, b)
      return try x.divided(by: y)
    }
    t.meta("__pow") { (a: Operand, b: Operand) -> Tensor in
      switch (a, b) {
      case (.tensor(let x), .number(let n)): try x.power(n)
      default: try pair(a, b).0.power(pair(a, b).1)
      }
    }
    t.meta("__unm") { (x: Tensor, _: LuaValue) -> Tensor in try x.negated() }

    let unary: [(String, String, (Tensor) throws -> Tensor)] = [
      ("neg", "−x", { try $0.negated() }), ("abs", "|x|", { try $0.absolute() }),
      ("exp", "eˣ", { try $0.exp() }), ("log", "ln x", { try $0.log() }),
      ("sqrt", "√x", { try $0.squareRoot() }),
      ("rsqrt", "1/√x", { try $0.reciprocalSquareRoot() }),
      ("sin", "sin x", { try $0.sin() }), ("cos", "cos x", { try $0.cos() }),
      ("tanh", "tanh x", { try $0.tanh() }),
      ("sigmoid", "1/(1+e⁻ˣ)", { try $0.sigmoid() }), ("relu", "max(x, 0)", { try $0.relu() }),
      ("gelu", "x·Φ(x), the exact form", { try $0.gelu() }),
      ("silu", "x·sigmoid(x)", { try $0.silu() }), ("erf", "erf x", { try $0.erf() }),
      ("square", "x²", { try $0.squared() }),
      ("sign", "−1, 0 or 1; no gradient", { try $0.sign() }),
      ("round", "the nearest integer, ties to even; no gradient", { try $0.rounded() }),
      ("floor", "the integer below; no gradient", { try $0.floored() }),
      ("reciprocal", "1/x", { try $0.reciprocal() }),
    ]
    for (name, doc, body) in unary { s.pure(name, doc: doc) { (x: Tensor) in try body(x) } }

    struct Clamp: LuaOptions {
      var min = -Double.infinity
      var max = Double.infinity
      static var luaFields: [LuaField<Clamp>] { [LuaField("min", \.min), LuaField("max", \.max)] }
    }
    s.pure("clamp", params: ["options"], doc: "min(max(x, options.min), options.max).") {
      (x: Tensor, o: Clamp) in
      guard o.min == o.min, o.max == o.max else {
        throw LunervError(.argument, "clamp: expected numbers, got nan")
      }
      return try x.clamped(o.min, o.max)
    }
    let binary: [(String, String, (Tensor, Tensor) throws -> Tensor)] = [
      ("add", "x + y", { try $0.adding($1) }), ("sub", "x − y", { try $0.subtracting($1) }),
      ("mul", "x·y", { try $0.multiplied(by: $1) }), ("div", "x/y", { try $0.divided(by: $1) }),
      ("pow", "xʸ", { try $0.power($1) }), ("maximum", "the larger", { try $0.maximum($1) }),
      ("minimum", "the smaller", { try $0.minimum($1) }),
      ("eq", "1 where x = y, else 0", { try $0.compared(.equal, $1) }),
      ("ne", "1 where x ≠ y, else 0", { try $0.compared(.notEqual, $1) }),
      ("lt", "1 where x < y, else 0", { try $0.compared(.less, $1) }),
      ("le", "1 where x ≤ y, else 0", { try $0.compared(.lessOrEqual, $1) }),
      ("gt", "1 where x > y, else 0", { try $0.compared(.greater, $1) }),
      ("ge", "1 where x ≥ y, else 0", { try $0.compared(.greaterOrEqual, $1) }),
    ]
    for (name, doc, body) in binary {
      s.pure(name, params: ["y"], doc: doc) { (x: Tensor, y: Operand) -> Tensor in
        if name == "pow", case .number(let p) = y { return try x.power(p) }
        return try body(x, y.tensor(like: x))
      }
    }
    s.module.pure(
      "where", params: ["condition", "x", "y"],
      doc: "x where the condition is not 0, else y."
    ) { (c: Tensor, a: Operand, b: Operand) -> Tensor in
      let x = try a.tensor(like: c)
      return try x.chosen(where: c, else: b.tensor(like: x))
    }
  }

  private static func shapes(_ s: TensorSurface) {
    s.pure("view", params: ["sizes…"], doc: "The same elements under other sizes; one may be -1.") {
      (x: Tensor, sizes: Sizes) in x.giving(try x.viewed(sizes.shape), as: "view")
    }
    s.pure("permute", params: ["dims…"], doc: "The dimensions in another order.") {
      (x: Tensor, dims: Sizes) in
      x.giving(try x.permuted(dims.shape.map { try dimension($0, x, "permute") }), as: "permute")
    }
    s.pure("transpose", params: ["a", "b"], doc: "Two dimensions exchanged.") {
      (x: Tensor, a: Int, b: Int) -> Tensor in
      var order = Array(x.shape.indices)
      order.swapAt(try dimension(a, x, "transpose"), try dimension(b, x, "transpose"))
      return x.giving(try x.permuted(order), as: "transpose")
    }
    s.pure("slice", params: ["dim", "first", "last"], doc: "Entries first…last of a dimension.") {
      (x: Tensor, d: Int, first: Int, last: Int) in
      let d = try dimension(d, x, "slice")
      let (first, last) = (
        try position(first, count: x.shape[d], "slice"),
        try position(last, count: x.shape[d], "slice")
      )
      return x.giving(try x.sliced(d, first, last), as: "slice")
    }
    s.pure("select", params: ["dim", "i"], doc: "One entry of a dimension, which is dropped.") {
      (x: Tensor, d: Int, i: Int) -> Tensor in
      let d = try dimension(d, x, "select")
      let i = try position(i, count: x.shape[d], "select")
      var shape = x.shape
      shape.remove(at: d)
      return x.giving(try x.sliced(d, i, i).viewed(shape), as: "select")
    }
    s.module.pure(
      "cat", params: ["tensors", "dim"], doc: "Tensors joined along a dimension."
    ) {
      (list: [Tensor], d: Int) -> Tensor in
      guard let first = list.first else {
        throw LunervError(.argument, "cat: expected at least one tensor")
      }
      return try Tensor.concatenated(list, dimension(d, first, "cat"))
    }
    s.module.pure(
      "stack", params: ["tensors", "dim"], doc: "Tensors along a new dimension."
    ) {
      (list: [Tensor], d: Int) -> Tensor in
      guard let first = list.first else {
        throw LunervError(.argument, "stack: expected at least one tensor")
      }
      let d = try dimension(d, rank: first.shape.count + 1, "stack")
      return try Tensor.concatenated(
        list.map {
          guard $0.shape.count == first.shape.count else {
            throw LunervError(.argument, "stack: tensors of different dimensions")
          }
          var shape = $0.shape
          shape.insert(1, at: d)
          return try $0.viewed(shape)
        }, d)
    }
    s.pure(
      "gather", params: ["dim", "index"],
      doc: "out[…, i, …] = x[…, index[…, i, …], …]; index counts from 1 and has the result's shape."
    ) { (x: Tensor, d: Int, index: Tensor) -> Tensor in
      let d = try dimension(d, x, "gather")
      guard index.dtype == .i32 else {
        throw LunervError(.argument, "gather: the index must be i32, got \(index.dtype.rawValue)")
      }
      let places = try index.numbers().map { try position(Int($0), count: x.shape[d], "gather") }
      return try x.gathered(d, places, shape: index.shape)
    }
    s.pure(
      "index_select", params: ["dim", "index"], doc: "Slices of a dimension by a table of indices."
    ) {
      (x: Tensor, d: Int, index: [Int]) -> Tensor in
      let d = try dimension(d, x, "index_select")
      return try x.selected(d, index.map { try position($0, count: x.shape[d], "index_select") })
    }
    s.pure("expand", params: ["sizes…"], doc: "Sizes of 1 stretched, without a copy.") {
      (x: Tensor, sizes: Sizes) in x.giving(try x.expanded(to: sizes.shape), as: "expand")
    }
    struct Pad: LuaOptions {
      var left = 0
      var right = 0
      var top = 0
      var bottom = 0
      var mode = "zero"
      static var luaFields: [LuaField<Pad>] {
        [
          LuaField("left", \.left), LuaField("right", \.right), LuaField("top", \.top),
          LuaField("bottom", \.bottom), LuaField("mode", \.mode),
        ]
      }
    }
    s.pure(
      "pad", params: ["options"],
      doc: "The last two dimensions padded: left, right, top, bottom, mode 'zero' or 'edge'."
    ) { (x: Tensor, o: Pad) in
      guard o.mode == "zero" || o.mode == "edge" else {
        throw LunervError(.argument, "pad: unknown mode '\(o.mode)' (known: zero, edge)")
      }
      return try x.padded(
        top: o.top, bottom: o.bottom, left: o.left, right: o.right, edge: o.mode == "edge")
    }
    s.pure("unsqueeze", params: ["dim"], doc: "A new dimension of size 1.") {
      (x: Tensor, d: Int) -> Tensor in
      var shape = x.shape
      shape.insert(1, at: try dimension(d, rank: shape.count + 1, "unsqueeze"))
      return x.giving(try x.viewed(shape), as: "unsqueeze")
    }
    s.pure("squeeze", params: ["dim"], doc: "A dimension of size 1 dropped.") {
      (x: Tensor, d: Int) -> Tensor in
      let d = try dimension(d, x, "squeeze")
      var shape = x.shape
      guard shape[d] == 1 else {
        throw LunervError(.argument, "squeeze: dimension \(d + 1) has size \(shape[d]), not 1")
      }
      shape.remove(at: d)
      return x.giving(try x.viewed(shape), as: "squeeze")
    }
  }

  private static func reductions(_ s: TensorSurface) {
    s.pure("sum", params: ["dims", "keep"], doc: "The sum over some dimensions, or all.") {
      (x: Tensor, d: Dimensions?, keep: Bool?) in
      try x.sum(d?.resolved(x, "sum"), keep: keep ?? false)
    }
    s.pure("mean", params: ["dims", "keep"], doc: "The mean over some dimensions, or all.") {
      (x: Tensor, d: Dimensions?, keep: Bool?) in
      try x.mean(d?.resolved(x, "mean"), keep: keep ?? false)
    }
    s.pure("amax", params: ["dims", "keep"], doc: "The largest element.") {
      (x: Tensor, d: Dimensions?, keep: Bool?) in
      try x.extremum(.maximum, d?.resolved(x, "amax"), keep: keep ?? false)
    }
    s.pure("amin", params: ["dims", "keep"], doc: "The smallest element.") {
      (x: Tensor, d: Dimensions?, keep: Bool?) in
      try x.extremum(.minimum, d?.resolved(x, "amin"), keep: keep ?? false)
    }
    struct Variance: LuaOptions {
      var unbiased = false
      static var luaFields: [LuaField<Variance>] { [LuaField("unbiased", \.unbiased)] }
    }
    s.pure("var", params: ["dims", "keep", "options"], doc: "The variance; option unbiased.") {
      (x: Tensor, d: Dimensions?, keep: Bool?, o: Variance) in
      try x.variance(d?.resolved(x, "var"), keep: keep ?? false, unbiased: o.unbiased)
    }
  }

  private static func autograd(_ s: TensorSurface, _ beforeBackward: @escaping () throws -> Void) {
    s.op("backward", doc: "Adds this scalar's gradients to the grad of what it came from.") {
      (x: Tensor) in
      try beforeBackward()
      try x.backward()
      return LuaResults()
    }
    s.module.define("is_grad_enabled", doc: "Whether operators record for backward.") {
      () -> Bool in Session.current.isRecording
    }
    s.module.define(
      "clip_grad_norm", params: ["parameters", "limit"],
      doc: "Scales gradients to a joint L2 norm of at most limit; returns the norm before."
    ) { (parameters: [Tensor], limit: Double) -> Double in
      try Optimiser.clipGradients(of: parameters, to: limit)
    }
  }
}
