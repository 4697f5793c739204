import LuaBridge
import Support
import Tensors

extension Optimiser: LuaObject {
  public static var luaName: String { "optimiser" }
}

/// Adam and Adan.
enum OptimiserModule {
  private struct Options: LuaOptions {
    var lr: Double?
    var beta1: Double?
    var beta2: Double?
    var beta3: Double?
    var eps = 1e-8
    static var luaFields: [LuaField<Options>] {
      [
        LuaField("lr", \.lr), LuaField("beta1", \.beta1), LuaField("beta2", \.beta2),
        LuaField("beta3", \.beta3), LuaField("eps", \.eps),
      ]
    }
  }

  static func define(_ m: LuaModule, _ boundary: @escaping () -> Void) -> LuaClass<Optimiser> {
    m.define(
      "adam", params: ["parameters", "options"], doc: "Adam; lr, beta1 .9, beta2 .999, eps 1e-8."
    ) { (p: [Tensor], o: Options) in
      guard o.beta3 == nil else { throw LunervError(.argument, "adam: has no beta3") }
      return try Optimiser(
        p, .adam(beta1: o.beta1 ?? 0.9, beta2: o.beta2 ?? 0.999, epsilon: o.eps), lr: o.lr ?? 1e-3)
    }
    m.define(
      "adan", params: ["parameters", "options"],
      doc: "Adan without decay; lr, beta1 .98, beta2 .92, beta3 .99, eps 1e-8."
    ) { (p: [Tensor], o: Options) in
      try Optimiser(
        p,
        .adan(
          beta1: o.beta1 ?? 0.98, beta2: o.beta2 ?? 0.92, beta3: o.beta3 ?? 0.99, epsilon: o.eps),
        lr: o.lr ?? 1e-3)
    }
    let c = LuaClass<Optimiser>()
    c.property(
      "lr", doc: "The learning rate.", get: { (o: Optimiser) -> Double in o.lr },
      set: { (o: Optimiser, lr: Double) in o.lr = lr })
    c.method("step", doc: "One update of every parameter that has a gradient.") {
      (o: Optimiser) in
      try o.update()
      boundary()
    }
    c.method("zero_grad", doc: "Forgets the gradients.") { (o: Optimiser) in o.clearGradients() }
    c.method("state", doc: "Its tensors and numbers, by name.") { (o: Optimiser) -> LuaValue in
      .table(
        [(.string("step"), .int(o.step))]
          + (try o.states().map { (.string($0.0), .object($0.1)) }))
    }
    c.method("load_state", params: ["state"], doc: "Takes up what state() gave.") {
      (o: Optimiser, state: LuaValue) in
      guard case .table(let pairs) = state else {
        throw LunervError(.argument, "load_state: expected a table of state()")
      }
      var step: Int?
      var tensors: [String: Tensor] = [:]
      for (key, value) in pairs {
        guard case .string(let name) = key else { continue }
        switch value {
        case .int(let n) where name == "step": step = n
        case .object(let object): if let t = object as? Tensor { tensors[name] = t }
        default: throw LunervError(.data, "load_state: '\(name)' is no state of an optimiser")
        }
      }
      guard let step else { throw LunervError(.data, "load_state: 'step' is missing") }
      try o.load(step: step, tensors)
    }
    return c
  }
}
