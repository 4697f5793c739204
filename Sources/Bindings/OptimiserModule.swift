import Kernels
import LuaBridge
import Support
import Tensors

extension Optimiser: LuaObject {
  public static var luaName: String { "optimiser" }
}

/// Optimisers over groups of parameters.
enum OptimiserModule {
  /// One group, as stdlib/lunerv/optim.lua completes it.
  private struct Group: LuaOptions {
    var params: [Tensor] = []
    var optimiser = ""
    var lr = 0.0
    var weightDecay = 0.0
    var beta1 = 0.0
    var beta2 = 0.0
    var beta3 = 0.0
    var eps = 0.0
    var momentum = 0.0
    var nesterov = false
    /// nil for the value of beta2.
    var shampooBeta: Double?
    var frequency = 0
    var largest = 0
    static var luaFields: [LuaField<Group>] {
      [
        LuaField("params", \.params), LuaField("optimiser", \.optimiser), LuaField("lr", \.lr),
        LuaField("weight_decay", \.weightDecay), LuaField("beta1", \.beta1),
        LuaField("beta2", \.beta2), LuaField("beta3", \.beta3), LuaField("eps", \.eps),
        LuaField("momentum", \.momentum), LuaField("nesterov", \.nesterov),
        LuaField("shampoo_beta", \.shampooBeta), LuaField("frequency", \.frequency),
        LuaField("largest", \.largest),
      ]
    }

    func resolved() throws -> Optimiser.Group {
      let method: Optimiser.Method =
        switch optimiser {
        case "sgd": .sgd(momentum: momentum, nesterov: nesterov)
        case "adam": .adam(beta1: beta1, beta2: beta2, epsilon: eps)
        case "adan": .adan(beta1: beta1, beta2: beta2, beta3: beta3, epsilon: eps)
        case "muon": .muon(momentum: momentum, nesterov: nesterov)
        case "soap":
          .soap(
            SoapOptions(
              beta1: beta1, beta2: beta2, shampooBeta: shampooBeta ?? beta2, epsilon: eps,
              frequency: frequency, largest: largest))
        default:
          throw LunervError(
            .argument, "optimiser: expected adam, adan, muon, sgd or soap, got '\(optimiser)'")
        }
      return Optimiser.Group(params, method, lr: lr, weightDecay: weightDecay)
    }
  }

  static func define(_ m: LuaModule, _ boundary: @escaping () -> Void) -> LuaClass<Optimiser> {
    m.define(
      "optimiser", params: ["groups"],
      doc: "An optimiser over groups that stdlib/lunerv/optim.lua has completed."
    ) { (groups: [Group]) in try Optimiser(groups.map { try $0.resolved() }) }
    let c = LuaClass<Optimiser>()
    c.property(
      "lr",
      doc: """
        The learning rate of the first group; those of the others keep their ratio to it.
        Unlike PyTorch, it is set directly: no param_groups, and a schedule is a function.

            optimiser.lr = schedule(step)
        """,
      get: { (o: Optimiser) -> Double in o.lr },
      set: { (o: Optimiser, lr: Double) in
        guard lr.isFinite, lr >= 0 else {
          throw LunervError(
            .argument, "lr: expected a finite number of at least 0, got \(lr.printable)")
        }
        o.lr = lr
      })
    c.method(
      "step",
      doc: """
        One update of every parameter that has a gradient.
        Unlike PyTorch, it also ends the step, whose memory may then be freed.

            optimiser:zero_grad()
            lv.loss.l2(model(x), y):backward()
            optimiser:step()
        """
    ) { (o: Optimiser) in
      try o.update()
      boundary()
    }
    c.method(
      "zero_grad",
      doc: """
        Clears the gradients of its parameters. Otherwise the next ones are added to them.

            optimiser:zero_grad()
        """
    ) { (o: Optimiser) in o.clearGradients() }
    c.method(
      "state",
      doc: """
        The optimiser's step and state tensors, by name, for load_state.

            local state = optimiser:state()
            print(state.step)

        @return table  step, an integer, and tensors by name
        """
    ) { (o: Optimiser) -> LuaValue in
      .table(
        [(.string("step"), .int(o.step))]
          + (try o.states().map { (.string($0.0), .object($0.1)) }))
    }
    c.method(
      "load_state", params: ["state"],
      doc: """
        Restores what state() returned, of an optimiser with the same groups.

            optimiser:load_state(state)

        @param state table  what state() returned
        """
    ) { (o: Optimiser, state: LuaValue) in
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
        default: throw LunervError(.data, "load_state: '\(name)' is not an optimiser's state")
        }
      }
      guard let step else { throw LunervError(.data, "load_state: 'step' is missing") }
      try o.load(step: step, tensors)
    }
    return c
  }
}
