import LuaBridge
import Support
import Tensors

/// More pointwise functions for Lua.
enum FunctionModule {
  static func define(_ s: TensorSurface) {
    plain(s)
    withConstants(s)
  }

  private static func plain(_ s: TensorSurface) {
    let unary: [(String, String, (Tensor) throws -> Tensor)] = [
      (
        "hardswish", "x·min(max(x + 3, 0), 6)/6 (arXiv 1905.02244).", { try $0.hardswish() }
      ),
      ("log1p", "log(1 + x), accurate near 0.", { try $0.log1p() }),
      ("expm1", "eˣ − 1, accurate near 0.", { try $0.expm1() }),
      ("log2", "The logarithm to base 2.", { try $0.log2() }),
    ]
    for (name, doc, body) in unary {
      s.pure(name, doc: "\(doc)\n\n    local y = x:\(name)()") { (x: Tensor) in try body(x) }
    }
  }

  private struct Softplus: LuaOptions {
    var beta = 1.0
    static var luaFields: [LuaField<Softplus>] {
      [LuaField("beta", \.beta, doc: "the factor of x, and the divisor of the logarithm")]
    }
  }

  private struct Leaky: LuaOptions {
    var slope = 0.01
    static var luaFields: [LuaField<Leaky>] {
      [LuaField("slope", \.slope, doc: "the factor of negative x")]
    }
  }

  private static func withConstants(_ s: TensorSurface) {
    s.pure(
      "softplus", params: ["options"],
      doc: """
        log(1 + e^(beta·x))/beta, a smooth relu.
        Unlike PyTorch, there is no threshold beyond which it is x: it is exact everywhere.

            local scale = raw:softplus()
        """
    ) { (x: Tensor, o: Softplus) in try x.softplus(o.beta) }
    s.pure(
      "leaky_relu", params: ["slope"],
      doc: """
        x, and slope·x below 0; at 0 the gradient is the slope.

            x:leaky_relu(0.1)

        @param slope? number|table  what x is multiplied by below 0, or options (0.01)
        """
    ) { (x: Tensor, slope: Form<Double, Leaky>) -> Tensor in
      switch slope {
      case .absent: try x.leakyRelu(0.01)
      case .value(let slope): try x.leakyRelu(slope)
      case .options(let o): try x.leakyRelu(o.slope)
      }
    }
    s.pure(
      "atan2", params: ["x"],
      doc: """
        The angle of the point (x, y) from −π to π, called as y:atan2(x).
        At (0, 0) the gradient is NaN, as in PyTorch.

            local angle = dy:atan2(dx)

        @param x lunerv.Tensor|number  is broadcast to the shape of y, or y to its
        """
    ) { (y: Tensor, x: Operand) in try y.angle(over: x.tensor(like: y)) }
  }
}
