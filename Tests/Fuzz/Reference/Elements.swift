import Glibc

/// Functions of elements and of pairs of them.
extension Machine {
  typealias Function = @Sendable (Double) -> Double

  private static let smooth: [(String, Function, Function)] = [
    (":tanh()", { tanh($0) }, { 1 - tanh($0) * tanh($0) }),
    (":sin()", { sin($0) }, { cos($0) }), (":cos()", { cos($0) }, { -sin($0) }),
    (":sigmoid()", { 1 / (1 + exp(-$0)) }, { exp(-$0) / pow(1 + exp(-$0), 2) }),
    (":erf()", { erf($0) }, { 2 / Double.pi.squareRoot() * exp(-$0 * $0) }),
    (
      ":gelu()", { $0 * 0.5 * (1 + erf($0 / 2.0.squareRoot())) },
      {
        0.5 * (1 + erf($0 / 2.0.squareRoot())) + $0 * exp(-$0 * $0 / 2)
          / (2 * Double.pi).squareRoot()
      }
    ),
    (
      ":silu()", { $0 / (1 + exp(-$0)) },
      {
        let s = 1 / (1 + exp(-$0))
        return s + $0 * s * (1 - s)
      }
    ),
    (":tanh():exp()", { exp(tanh($0)) }, { exp(tanh($0)) * (1 - tanh($0) * tanh($0)) }),
    (":tanh():expm1()", { expm1(tanh($0)) }, { exp(tanh($0)) * (1 - tanh($0) * tanh($0)) }),
    (":square():add(1):log()", { log($0 * $0 + 1) }, { 2 * $0 / ($0 * $0 + 1) }),
    (":square():log1p()", { log1p($0 * $0) }, { 2 * $0 / ($0 * $0 + 1) }),
    (":square():add(1):sqrt()", { sqrt($0 * $0 + 1) }, { $0 / sqrt($0 * $0 + 1) }),
    (":square():add(1):rsqrt()", { 1 / sqrt($0 * $0 + 1) }, { -$0 * pow($0 * $0 + 1, -1.5) }),
    (":square():add(1):reciprocal()", { 1 / ($0 * $0 + 1) }, { -2 * $0 / pow($0 * $0 + 1, 2) }),
    (":softplus()", { $0 > 20 ? $0 : log1p(exp($0)) }, { 1 / (1 + exp(-$0)) }),
  ]
  /// Exact, continuous, with kinks.
  private static let bent: [(String, Function, Function?)] = [
    (":neg()", { -$0 }, { _ in -1 }), (":square()", { $0 * $0 }, { 2 * $0 }),
    (":abs()", { abs($0) }, { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }),
    (":relu()", { max($0, 0) }, { $0 > 0 ? 1 : 0 }),
    (":clamp(-1, 0.5)", { min(max($0, -1), 0.5) }, { $0 >= -1 && $0 <= 0.5 ? 1 : 0 }),
    (":add(0.25)", { $0 + 0.25 }, { _ in 1 }), (":mul(-0.5)", { $0 * -0.5 }, { _ in -0.5 }),
    (":clone()", { $0 }, { _ in 1 }), (":detach()", { $0 }, nil),
  ]
  private static let jumps: [(String, isRecorded: Bool, Function)] = [
    (":floor()", true, { $0.rounded(.down) }), (":round()", true, { $0.rounded(.toNearestOrEven) }),
    (":sign()", true, { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }), (":gt(0.5)", false, { $0 > 0.5 ? 1 : 0 }),
    (":le(0)", false, { $0 <= 0 ? 1 : 0 }), (":eq(0)", false, { $0 == 0 ? 1 : 0 }),
    (" // 0.75", true, { ($0 / 0.75).rounded(.down) }),
  ]

  mutating func element() {
    guard let x = pick() else { return }
    switch input.choice(3) {
    case 0:
      let (text, f, df) = input.pick(Machine.smooth)
      step(x.text + text, math.map(x.node, f, df))
    case 1:
      let (text, f, df) = input.pick(Machine.bent)
      // Rounding may move a kink, which gives another function.
      guard x.node.isExact || ![":abs()", ":relu()", ":clamp(-1, 0.5)"].contains(text) else {
        return
      }
      step(
        x.text + text, math.map(x.node, isExact: x.node.isExact, isRecorded: df != nil, f, df),
        isTaken: text == ":detach()")
    default:
      guard x.node.isExact else { return }
      let (text, isRecorded, f) = input.pick(Machine.jumps)
      step(x.text + text, math.map(x.node, isExact: true, isRecorded: isRecorded, f, nil))
    }
  }

  mutating func pair() {
    guard let a = pick(), let b = pick() else { return }
    switch input.choice(8) {
    case 0:
      step(
        "\(a.text) + \(b.text)",
        math.pairs(a.node, b.node, isExact: true, +, { _, _ in 1 }, { _, _ in 1 }))
    case 1:
      step(
        "\(a.text) - \(b.text)",
        math.pairs(a.node, b.node, isExact: true, -, { _, _ in 1 }, { _, _ in -1 }))
    case 2:
      step(
        "\(a.text) * \(b.text)", math.pairs(a.node, b.node, isExact: true, *, { $1 }, { x, _ in x })
      )
    case 3:
      step(
        "\(a.text) / (\(b.text) * \(b.text) + 1)",
        math.pairs(
          a.node, b.node, { $0 / ($1 * $1 + 1) }, { 1 / ($1 * $1 + 1) },
          { -$0 * 2 * $1 / (($1 * $1 + 1) * ($1 * $1 + 1)) }))
    case 4, 5:
      guard a.node.isExact, b.node.isExact else { return }
      let sign = input.choice(2) == 0 ? 1.0 : -1
      let name = sign > 0 ? "maximum" : "minimum"
      func share(_ x: Double, _ y: Double) -> Double { x == y ? 0.5 : x * sign > y * sign ? 1 : 0 }
      step(
        "n.\(name)(\(a.text), \(b.text))",
        math.pairs(
          a.node, b.node, isExact: true, { $0 * sign > $1 * sign ? $0 : $1 }, { share($0, $1) },
          { share($1, $0) }))
    case 6:
      guard a.node.isExact else { return }
      // where(condition, x, y): the condition gets no gradient.
      let zero = math.map(a.node, isExact: true, isRecorded: false, { $0 > 0 ? 1 : 0 }, nil)
      guard
        let other = math.pairs(
          zero, b.node, isExact: true, { $0 * $1 }, { _, _ in 0 }, { c, _ in c })
      else {
        step("n.where(\(a.text):gt(0), \(b.text), 0)", nil)
        return
      }
      step("n.where(\(a.text):gt(0), \(b.text), 0)", other)
    default:
      step(
        "n.atan2(\(a.text), \(b.text) * \(b.text) + 1)",
        math.pairs(
          a.node, b.node, { atan2($0, $1 * $1 + 1) },
          { x, y in
            let d = y * y + 1
            return d / (x * x + d * d)
          },
          { x, y in
            let d = y * y + 1
            return -x / (x * x + d * d) * 2 * y
          }))
    }
  }
}
