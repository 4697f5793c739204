import LuaBridge
import Support
import Tensors

// Pointwise operators: symbols, functions of one tensor, of two, comparisons.

/// Bounds by name.
struct Clamp: LuaOptions {
  var min = -Double.infinity
  var max = Double.infinity
  static var luaFields: [LuaField<Clamp>] {
    [
      LuaField("min", \.min, doc: "the lower bound (none)"),
      LuaField("max", \.max, doc: "the upper bound (none)"),
    ]
  }
}

extension TensorModule {
  /// Both bounds of a clamp, however they were given.
  static func bounds(_ low: Form<Double, Clamp>, _ high: Double?, _ name: String) throws -> (
    Double, Double
  ) {
    var o = Clamp()
    switch low {
    case .absent: o.max = high ?? o.max
    case .value(let low): (o.min, o.max) = (low, high ?? o.max)
    case .options(let given):
      guard high == nil else {
        throw LunervError(.argument, "\(name): expected two numbers or one table of options")
      }
      o = given
    }
    guard o.min == o.min, o.max == o.max else {
      throw LunervError(.argument, "\(name): expected numbers, got nan")
    }
    return (o.min, o.max)
  }

  static func arithmetic(_ s: TensorSurface) {
    symbols(s.tensors)
    unary(s)
    s.pure(
      "clamp", params: ["min", "max"],
      doc: """
        min(max(x, min), max).
        Gradients pass where x lies within the bounds, both included.

            x:clamp(0, 1)
            x:clamp { min = 0 }    -- or x:clamp(0)

        @param min? number|table  the lower bound, or options min and max
        """
    ) { (x: Tensor, low: Form<Double, Clamp>, high: Double?) in
      let (low, high) = try bounds(low, high, "clamp")
      return try x.clamped(low, high)
    }
    typealias Binary = (Tensor, Tensor) throws -> Tensor
    let binary: [(String, String, Binary)] = [
      (
        "add",
        """
        x + y, which is also `x + y`; shapes are broadcast.
        Unlike PyTorch, dtypes do not mix (use `:to`). i32, u8 and bool stay what they are, and a
        result that does not fit is an error; it never wraps around.

            x:add(1)
        """, { try $0.adding($1) }
      ),
      (
        "sub",
        """
        x − y, which is also `x - y`.

            x:sub(y)
        """, { try $0.subtracting($1) }
      ),
      (
        "mul",
        """
        x·y, element by element, which is also `x * y`.

            x:mul(0.5)
        """, { try $0.multiplied(by: $1) }
      ),
      (
        "div",
        """
        x/y, which is also `x / y`.
        The quotient of two integer tensors is f64.

            x:div(255)
        """, { try $0.divided(by: $1) }
      ),
      (
        "floor_divide",
        """
        x/y rounded down, which is also `x // y`; no gradient.
        Integers stay integers; division of an integer by 0 is an error.

            lv.tensor { 7, -7 }:floor_divide(2)   -- 3 -4
        """, { try $0.floorDivided(by: $1) }
      ),
      (
        "remainder",
        """
        The remainder of `x // y`, with the sign of y, which is also `x % y`.
        The gradient to x is 1, that to y is −(x // y).

            lv.tensor { 7, -7 }:remainder(3)   -- 1 2
        """, { try $0.modulo($1) }
      ),
      (
        "pow",
        """
        x to the power y, which is also `x ^ y`.

            x:pow(2)
        """, { try $0.power($1) }
      ),
      (
        "maximum",
        """
        The larger of x and y, element by element; a tie's gradient goes half to each.
        `:amax` is the largest element.

            lv.maximum(x, y)
        """, { try $0.maximum($1) }
      ),
      (
        "minimum",
        """
        The smaller of x and y, element by element; a tie's gradient goes half to each.
        `:amin` is the smallest element.

            lv.minimum(x, y)
        """, { try $0.minimum($1) }
      ),
    ]
    for (name, doc, body) in binary {
      s.pure(
        name, params: ["y"],
        doc: doc
          + "\n\n@param y lunerv.Tensor|number  broadcasts to the shape of x, or x to its shape"
      ) { (x: Tensor, y: Operand) -> Tensor in
        if name == "pow", case .number(let p) = y { return try x.power(p) }
        return try body(x, y.tensor(like: x))
      }
    }
    s.module.pure(
      "where", params: ["condition", "x", "y"],
      doc: """
        x where the condition is not 0, else y; shapes are broadcast.
        x and y are of one dtype, and so is a condition of f32 or f64.

            lv.where(x:gt(0), x, 0.1 * x)

        @param x lunerv.Tensor|number  what is taken where the condition holds
        @param y lunerv.Tensor|number  what is taken elsewhere
        """
    ) { (c: Tensor, a: Operand, b: Operand) -> Tensor in
      switch (a, b) {
      case (.tensor(let x), _): return try x.chosen(where: c, else: b.tensor(like: x))
      case (_, .tensor(let y)): return try a.tensor(like: y).chosen(where: c, else: y)
      default:
        let dtype = c.dtype == .f64 ? DType.f64 : .f32
        return try a.tensor(dtype).chosen(where: c, else: b.tensor(dtype))
      }
    }
  }

  private static func symbols(_ t: LuaClass<Tensor>) {
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
      case (.number(let n), .tensor(let x)) where x.dtype == .f32 || x.dtype == .f64:
        try x.negated().adding(n)
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
    t.meta("__idiv") { (a: Operand, b: Operand) -> Tensor in
      let (x, y) = try pair(a, b)
      return try x.floorDivided(by: y)
    }
    t.meta("__mod") { (a: Operand, b: Operand) -> Tensor in
      let (x, y) = try pair(a, b)
      return try x.modulo(y)
    }
    t.meta("__pow") { (a: Operand, b: Operand) -> Tensor in
      switch (a, b) {
      case (.tensor(let x), .number(let n)): try x.power(n)
      default: try pair(a, b).0.power(pair(a, b).1)
      }
    }
    t.meta("__unm") { (x: Tensor, _: LuaValue) -> Tensor in try x.negated() }
    refused(t)
  }

  /// Lua operations that tensors do not support: errors that name the tensor's equivalent.
  private static func refused(_ t: LuaClass<Tensor>) {
    for event in ["__lt", "__le"] {
      t.meta(event) { (a: TypeName, b: TypeName) -> Bool in
        throw LunervError(
          .argument,
          "expected numbers, got \(a.name) and \(b.name) (x:\(event.dropFirst(2))(y) compares elements, x:item() is a number)"
        )
      }
    }
    t.meta("__concat") { (a: TypeName, b: TypeName) -> String in
      throw LunervError(
        .argument,
        "expected strings or numbers, got \(a.name) and \(b.name) (tostring(x) is a tensor's text, x:item() its number)"
      )
    }
    t.meta("__call") { (_: Tensor) -> Void in
      throw LunervError(
        .argument,
        "expected a function, got a tensor (x[i] is a part of it, ipairs(x) iterates over its rows)"
      )
    }
    t.meta("__pairs") { (_: Tensor) -> Void in
      throw LunervError(
        .argument, "expected a table, got a tensor (ipairs(x) iterates over its rows)")
    }
  }

  private static func unary(_ s: TensorSurface) {
    let unary: [(String, String, (Tensor) throws -> Tensor)] = [
      ("neg", "−x, which is also `-x`.", { try $0.negated() }),
      ("abs", "|x|; the gradient at 0 is 0.", { try $0.absolute() }),
      ("exp", "eˣ.", { try $0.exp() }),
      ("log", "The natural logarithm.", { try $0.log() }),
      ("sqrt", "√x.", { try $0.squareRoot() }),
      ("rsqrt", "1/√x.", { try $0.reciprocalSquareRoot() }),
      ("sin", "The sine.", { try $0.sin() }),
      ("cos", "The cosine.", { try $0.cos() }),
      ("tanh", "The hyperbolic tangent.", { try $0.tanh() }),
      ("sigmoid", "1/(1 + e⁻ˣ).", { try $0.sigmoid() }),
      ("relu", "max(x, 0); the gradient at 0 is 0.", { try $0.relu() }),
      (
        "gelu",
        "x·Φ(x) with the normal distribution's Φ, in the exact form (arXiv 1606.08415).",
        { try $0.gelu() }
      ),
      ("silu", "x·sigmoid(x) (arXiv 1606.08415).", { try $0.silu() }),
      ("erf", "The error function.", { try $0.erf() }),
      ("square", "x².", { try $0.squared() }),
      ("sign", "−1, 0 or 1; no gradient.", { try $0.sign() }),
      (
        "round",
        "The nearest integer, ties to even; no gradient (`:round_straight` has one).",
        { try $0.rounded() }
      ),
      ("floor", "The integer below; no gradient.", { try $0.floored() }),
      ("reciprocal", "1/x.", { try $0.reciprocal() }),
    ]
    for (name, doc, body) in unary {
      s.pure(name, doc: "\(doc)\n\n    local y = x:\(name)()") { (x: Tensor) in try body(x) }
    }
  }

  static func comparisons(_ s: TensorSurface) {
    typealias Comparison = (Tensor, Tensor) throws -> Tensor
    let all: [(String, String, Comparison)] = [
      ("eq", "=", { try $0.compared(.equal, $1) }),
      ("ne", "≠", { try $0.compared(.notEqual, $1) }),
      ("lt", "<", { try $0.compared(.less, $1) }),
      ("le", "≤", { try $0.compared(.lessOrEqual, $1) }),
      ("gt", ">", { try $0.compared(.greater, $1) }),
      ("ge", "≥", { try $0.compared(.greaterOrEqual, $1) }),
    ]
    for (name, symbol, body) in all {
      s.pure(
        name, params: ["y"],
        doc: """
          1 where x \(symbol) y, else 0; no gradient.
          Unlike PyTorch, the result has the dtype of x, so that it can be summed and multiplied;
          `x[mask]` takes it as it is. Lua's own comparison symbols compare no elements.

              local chosen = x[x:\(name)(0)]

          @param y lunerv.Tensor|number  is broadcast to the shape of x, or x to its
          """
      ) { (x: Tensor, y: Operand) -> Tensor in try body(x, y.tensor(like: x)) }
    }
  }
}
