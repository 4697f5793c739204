import LuaBridge
import Support
import Tensors

extension GradientHook: LuaObject {
  public static var luaName: String { "hook" }
}

/// A tensor, or a list of them.
struct TensorList: LuaArgument {
  var tensors: [Tensor]

  static var luaTypeName: String { "tensor or table" }

  static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> TensorList {
    if L.type(at: index) == .table { return TensorList(tensors: try [Tensor].read(L, at: index)) }
    if L.type(at: index) == .userdata {
      return TensorList(tensors: [try Tensor.read(L, at: index)])
    }
    throw LuaTypeMismatch(expected: luaTypeName)
  }
}

/// Gradients for Lua: the calls that compute them, and the parts of lv.func, hooks and
/// lv.checkpoint.
enum GradientModule {
  private struct Backward: LuaOptions {
    var retain = false
    static var luaFields: [LuaField<Backward>] {
      [LuaField("retain", \.retain, doc: "whether the graph can be traversed again")]
    }
  }

  private struct Gradients: LuaOptions {
    var seed: TensorList?
    var retain = false
    var allowUnused = false
    var createGraph = false
    static var luaFields: [LuaField<Gradients>] {
      [
        LuaField(
          "seed", \.seed,
          doc: "the gradient of the output itself, or a list of them (1 for a scalar)"),
        LuaField("retain", \.retain, doc: "whether the graph can be traversed again"),
        LuaField(
          "allow_unused", \.allowUnused,
          doc: "whether an input that the output does not depend on gives nil"),
        LuaField(
          "create_graph", \.createGraph,
          doc: "true is an error: gradients cannot be differentiated again"),
      ]
    }
  }

  static func define(
    _ s: TensorSurface, _ lua: LuaState, _ session: Session, _ pressure: Pressure
  ) -> LuaClass<GradientHook> {
    gradients(s, pressure)
    own(s.module, lua, pressure)
    return hooks(s, session)
  }

  private static func gradients(_ s: TensorSurface, _ pressure: Pressure) {
    s.op(
      "backward", params: ["seed", "options"],
      doc: """
        Adds the gradients of this tensor to the `grad` of the parameters it was computed from.
        Unlike PyTorch, gradients cannot be differentiated again. A graph is traversed once, unless
        `retain` is true: its saved values are freed, even if the traversal fails. A scalar needs no
        seed; for any other tensor, the seed is its own gradient, in its shape and dtype.

            (model(x) - y):square():mean():backward()
            image:backward(lv.ones_like(image) / image:numel())
        """
    ) { (x: Tensor, seed: Tensor?, o: Backward) in
      try pressure.beforeBackward()
      try x.backward(seed, retaining: o.retain)
      return LuaResults()
    }
    s.module.define(
      "grad", params: ["output", "inputs", "options"],
      doc: """
        The gradients of an output with respect to tensors that it was computed from, one result for
        each input. No `grad` changes.
        Unlike PyTorch, gradients cannot be differentiated again: `create_graph = true` is an error. An
        input may be a parameter or an intermediate result; one that the output was not computed from
        is an error, or nil with `allow_unused`. Of a list of outputs, the gradients add up.

            local dx, dw = lv.grad(loss, { x, w })
            local slope = lv.grad(y, x, { seed = lv.ones_like(y) })

        @param output lunerv.Tensor|lunerv.Tensor[]  a scalar, or anything with a seed
        @param inputs lunerv.Tensor|lunerv.Tensor[]  tensors that require a gradient
        @return lunerv.Tensor ...  a gradient for each input
        """
    ) { (outputs: TensorList, inputs: TensorList, o: Gradients) -> LuaResults in
      guard !o.createGraph else {
        throw LunervError(.argument, "grad: create_graph: gradients cannot be differentiated again")
      }
      try pressure.beforeBackward()
      let outputs = outputs.tensors
      let seeds = o.seed?.tensors ?? [Tensor?](repeating: nil, count: outputs.count)
      let found = try Tensor.gradients(of: outputs, seeds, by: inputs.tensors, retaining: o.retain)
      if !o.allowUnused, let unused = found.firstIndex(where: { $0 == nil }) {
        throw LunervError(
          .argument,
          "grad: the output does not depend on input \(unused + 1) (allow_unused = true gives nil "
            + "for it)")
      }
      return LuaResults(list: found)
    }
    s.pure(
      "straight_through", params: ["source"],
      doc: """
        The values of x; the gradient passes unchanged to source instead: the straight-through
        estimator (arXiv 1308.3432).
        Both have the same shape and dtype; x itself gets no gradient.

            local sign = y:sign():straight_through(y)
            local levels = lv.straight_through((y * 255):round() / 255, y)

        @param source lunerv.Tensor  what the gradient goes to
        """
    ) { (x: Tensor, source: Tensor) in try x.straightThrough(source) }
  }

  // MARK: - Hooks

  private static func hooks(_ s: TensorSurface, _ session: Session) -> LuaClass<GradientHook> {
    var maker: LuaFunction?
    s.module.define(
      "set_hook_maker", params: ["maker"],
      doc: "What `register_hook` calls with the tensor and the function; it returns the hook."
    ) { (function: LuaFunction) in maker = function }
    s.module.define(
      "add_hook", params: ["x", "call"],
      doc: "Calls a function with the gradient of x whenever it is computed; returns the hook."
    ) { (x: Tensor, call: LuaFunction) -> GradientHook in
      try x.addHook { gradient in
        guard case .object(let other)? = try call.call(gradient).first else { return nil }
        return other as? Tensor
      }
    }
    s.method(
      "register_hook", params: ["f"],
      doc: """
        Calls f with the gradient of x whenever one has been computed, before it propagates; a tensor
        that f returns replaces it.
        Returns a hook: `hook:remove()` ends it. x is a parameter or an intermediate result. The
        hooks of an intermediate result end with its graph; a hook that refers to x keeps x alive
        until the graph is traversed. Hooks are called in the order in which they were added.

            local hook = model.head.weight:register_hook(function(g) return g:clamp(-1, 1) end)
            hook:remove()

        @param f fun(gradient: lunerv.Tensor): lunerv.Tensor?
        @return lunerv.Hook  with the method remove
        """
    ) { (x: Tensor, f: LuaFunction) -> LuaValue in
      guard x.requiresGrad else {
        throw LunervError(.argument, "register_hook: expected a tensor that requires a gradient")
      }
      return try maker?.call(x, f).first ?? .nil_
    }
    let hooks = LuaClass<GradientHook>()
    hooks.property("active", doc: "Whether it is still called: false once removed.") {
      (hook: GradientHook) in !hook.isRemoved
    }
    hooks.method(
      "remove",
      doc: """
        Ends a hook of `x:register_hook`; once it has ended, this does nothing.

            hook:remove()
        """
    ) { (hook: GradientHook) in hook.remove() }
    return hooks
  }

  // MARK: - Custom graphs

  private static func tensors(_ values: [LuaValue], _ name: String) throws -> [Tensor?] {
    try values.map { value in
      switch value {
      case .nil_: return nil
      case .object(let object as Tensor): return object
      default: throw LunervError(.argument, "\(name): expected a tensor")
      }
    }
  }

  private static func list(_ value: LuaValue?, _ name: String) throws -> [Tensor] {
    guard case .array(let values)? = value else { return [] }
    return try tensors(values, name).compactMap { $0 }
  }

  private static func own(_ m: LuaModule, _ lua: LuaState, _ pressure: Pressure) {
    m.define(
      "joint_results", params: ["name", "backward", "inputs", "results"],
      doc: """
        Tensors with the values of `results`, recorded as the results of one operator on `inputs`.
        `backward` gets one gradient for each result, and returns one, or nil, for each input.
        """
    ) { (name: String, backward: LuaFunction, inputs: [Tensor], results: [Tensor]) -> [Tensor] in
      try Tensor.joint(results, of: inputs, name: name) { gradients in
        try tensors(backward.call(list: gradients.map { $0 as (any LuaResult)? }), name)
      }
    }
    m.define("checkpoint_begin", doc: "A number that marks what is recorded from now on.") {
      () -> Int in Session.current.tapeSequence
    }
    m.define(
      "checkpoint_results", params: ["begin", "again", "inputs", "leaves", "results"],
      doc: """
        Tensors with the values of `results`, without the graph by which they were computed from
        `leaves`, which replace `inputs`. When gradients are needed, `again()` returns new leaves
        and new results.
        """
    ) {
      [weak lua, pressure]
      (
        begin: Int, again: LuaFunction, inputs: [Tensor], leaves: [Tensor], results: [Tensor]
      ) -> [Tensor] in
      defer { pressure.checkpoint() }
      return try Tensor.checkpoint((leaves, results), of: inputs, since: begin) {
        // Of the previous part only handles remain: they are collected at the first call.
        pressure.checkpoint()
        guard let lua else { throw LunervError(.argument, "checkpoint: the Lua state is closed") }
        let made = try lua.unnested { try again.call() }
        return (
          try list(made.first, "checkpoint"), try list(made.dropFirst().first, "checkpoint")
        )
      }
    }
  }
}
