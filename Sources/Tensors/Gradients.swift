import Support

// The tape's functions: gradients, hooks, operators with custom gradients, and checkpointed parts
// of a graph.

extension Tensor {
  // MARK: - Gradients

  /// Adds the gradients of this tensor to the `grad` of every leaf that it was computed from.
  ///
  /// - Parameters:
  ///   - seed: the gradient of this tensor itself, in its shape and dtype; 1 for a tensor of one
  ///     element, which needs none.
  ///   - retaining: whether the graph can be traversed again.
  ///   - each: called for each leaf as soon as its `grad` is complete.
  public func backward(
    _ seed: Tensor? = nil, retaining: Bool = false, each: ((Tensor) throws -> Void)? = nil
  ) throws {
    defer { Session.current.pendingSums.removeAll { $0.sums == nil } }
    let root = try root(seed, "backward")
    try root.tape.backward(from: node, root.seed, retaining: retaining, each: each)
  }

  /// Gradients of the sum of `outputs` with respect to each of `inputs`; nil for an input that
  /// they do not depend on. No `grad` changes.
  ///
  /// - Parameter seeds: the gradients of the outputs themselves; nil for a scalar.
  public static func gradients(
    of outputs: [Tensor], _ seeds: [Tensor?], by inputs: [Tensor], retaining: Bool = false
  ) throws -> [Tensor?] {
    defer { Session.current.pendingSums.removeAll { $0.sums == nil } }
    guard !outputs.isEmpty, seeds.count == outputs.count else {
      throw LunervError(
        .argument, "grad: expected a seed for each of \(outputs.count) outputs, got \(seeds.count)")
    }
    var roots: [Tape.Root] = []
    for (output, seed) in zip(outputs, seeds) {
      let root = try output.root(seed, "grad")
      guard root.tape === outputs[0].tape else { throw anotherSession }
      roots.append((output.node, root.seed))
    }
    for (i, input) in inputs.enumerated() {
      guard input.node >= 0 else {
        throw LunervError(
          .argument,
          "grad: input \(i + 1) requires no gradient (set requires_grad, or leave it out)")
      }
      guard input.tape === outputs[0].tape else { throw anotherSession }
    }
    let found = try outputs[0].tape?.gradients(
      of: inputs.map(\.node), from: roots, retaining: retaining)
    return try zip(inputs, found ?? []).map { input, gradient in
      guard let settled = try gradient?.converted(to: input.value.layout) else { return nil }
      try settled.materialise()
      return Tensor(settled)
    }
  }

  private static var anotherSession: LunervError {
    LunervError(.argument, "grad: expected tensors of one session")
  }

  private func root(_ seed: Tensor?, _ name: String) throws -> (tape: Tape, seed: Value) {
    guard let tape else {
      throw LunervError(
        .argument,
        "\(name): expected a value computed from a tensor that requires a gradient, got one "
          + "without such a tensor, or computed in no_grad (second derivatives are not supported)")
    }
    try value.materialise()
    if let seed {
      try Tensor.checkGradient(seed, "\(name): seed", shape, dtype)
      return (tape, seed.value)
    }
    guard count == 1 else {
      throw LunervError(
        .argument,
        "\(name): expected a scalar, got shape \(Shape.describe(shape)) (sum or mean first, or give "
          + "a seed)")
    }
    return (tape, try Value.filled(1, shape: shape, dtype: dtype))
  }

  static func checkGradient(_ g: Tensor, _ name: String, _ shape: [Int], _ dtype: DType) throws {
    guard g.shape == shape, g.dtype == dtype else {
      throw LunervError(
        .argument,
        "\(name): expected \(dtype.rawValue) \(Shape.describe(shape)), got \(g.dtype.rawValue) "
          + Shape.describe(g.shape))
    }
  }

  // MARK: - Hooks

  /// Calls `body` with this tensor's gradient whenever one is computed, before it propagates; the
  /// result of `body` replaces it. The hooks of a computed tensor end with its graph.
  public func addHook(_ body: @escaping (Tensor) throws -> Tensor?) throws -> GradientHook {
    guard let tape else {
      throw LunervError(
        .argument, "register_hook: expected a tensor that requires a gradient, got one without")
    }
    let hook = GradientHook(body)
    tape.hooks[node] = (tape.hooks[node] ?? []).filter { !$0.isRemoved } + [hook]
    return hook
  }

  // MARK: - Custom gradients

  /// The values of `results`, computed from `inputs` by an operator with custom gradients.
  /// `backward` gets the gradients of the results (zeros for an unused one, nil for integers) and
  /// returns those of the inputs, nil for none.
  ///
  /// - Parameter name: the operator's name in a profile.
  public static func joint(
    _ results: [Tensor], of inputs: [Tensor], name: String,
    backward: @escaping (_ gradients: [Tensor?]) throws -> [Tensor?]
  ) throws -> [Tensor] {
    let tape = Session.current.tape
    let kept = inputs.indices.filter { inputs[$0].tape === tape }
    let expected = kept.map { (shape: inputs[$0].shape, dtype: inputs[$0].dtype) }
    let forms = results.map { ($0.shape, $0.dtype, $0.value.layout) }
    return joint(results, over: kept.map { inputs[$0].node }, name) { gradients in
      let all = try zip(gradients, forms).map { g, form -> Tensor? in
        if let g { return Tensor(g) }
        let (shape, dtype, layout) = form
        guard dtype == .f32 || dtype == .f64 else { return nil }
        let zero = try Value.filled(0, shape: [], dtype: dtype)
        return Tensor(try Value.pointwise(.copy, [zero], shape: shape, prefer: layout))
      }
      let found = try backward(all)
      return try zip(kept, expected).map { i, form in
        guard found.indices.contains(i), let g = found[i] else { return nil }
        try checkGradient(g, "\(name): gradient \(i + 1)", form.shape, form.dtype)
        return g.value
      }
    }
  }

  /// New tensors with the values of `results`, recorded as the results of one operator over the
  /// tape's entries `slots`. Without entries, or while recording is off, nothing requires a
  /// gradient; nor do results for which `isConstant` is true.
  private static func joint(
    _ results: [Tensor], over slots: [Int], _ name: String,
    isConstant: (Tensor) -> Bool = { _ in false }, _ backward: @escaping Tape.JointBackward
  ) -> [Tensor] {
    let tape = Session.current.tape
    let outs = results.map { Tensor($0.value) }
    guard tape.isRecording, !slots.isEmpty else { return outs }
    let operation = tape.record(inputs: slots, .joint(outs.count, backward), name: name)
    for (place, out) in outs.enumerated()
    where out.value.isFloating && !isConstant(results[place]) {
      out.put(on: tape) { $0.record(inputs: [operation], .part(place), name: name) }
    }
    tape.release(operation)
    return outs
  }

  /// The values of this tensor; its gradient passes to `source` unchanged.
  public func straightThrough(_ source: Tensor) throws -> Tensor {
    try Tensor.checkGradient(self, "straight_through", source.shape, source.dtype)
    return Tensor.result(value, of: [source]) { [$0] }
  }

  // MARK: - Checkpointing

  /// The leaves that a function was called with, all of them distinct, and its results.
  public typealias Recorded = (inputs: [Tensor], results: [Tensor])

  /// The results of a checkpointed function: its graph is not stored, and the function runs again
  /// when gradients are requested. Parameters, and everything else that the function uses, get
  /// theirs too.
  ///
  /// - Parameters:
  ///   - recorded: the function's results, computed from leaves that replace `inputs`.
  ///   - begin: the tape's ``Session/tapeSequence`` before those leaves were made.
  ///   - again: runs the function again.
  public static func checkpoint(
    _ recorded: Recorded, of inputs: [Tensor], since begin: Int,
    again: @escaping () throws -> Recorded
  ) throws -> [Tensor] {
    let tape = Session.current.tape
    let results = recorded.results
    let boundary = tape.boundary(of: results.filter { $0.tape === tape }.map(\.node), at: begin)
    let forms = results.map { ($0.shape, $0.dtype) }
    // The present values of parameters: others would give other gradients. Holding them prevents
    // writing in place.
    let values = boundary.map { tape.entries[$0].leaf?.value }
    for r in results { try r.value.materialise() }
    let known = inputs.indices.filter { inputs[$0].tape === tape }
    let slots = known.map { inputs[$0].node } + boundary
    let outs = joint(
      results, over: slots, "checkpoint", isConstant: { $0.tape !== tape }
    ) { [unowned tape] gradients in
      for (slot, value) in zip(boundary, values) where tape.entries[slot].leaf?.value !== value {
        throw LunervError(
          .argument, "checkpoint: a parameter was changed between the function and backward")
      }
      let begin = tape.sequence
      let second = try tape.recordingAgain(again)
      guard second.inputs.count == inputs.count,
        second.results.map({ ($0.shape, $0.dtype) }).elementsEqual(forms, by: { $0 == $1 })
      else { throw resultsDiffer }
      var roots: [Tape.Root] = []
      for (result, g) in zip(second.results, gradients) {
        if let g, result.tape === tape { roots.append((result.node, g)) }
      }
      let own = known.map { second.inputs[$0].node }
      guard own.allSatisfy({ $0 >= 0 }),
        Set(tape.boundary(of: roots.map(\.slot), at: begin)).isSubset(of: boundary)
      else { throw resultsDiffer }
      // The graph lives as long as its results.
      return try withExtendedLifetime(second) {
        try tape.gradients(of: own + boundary, from: roots, stopping: true)
      }
    }
    // Frees the first graph, even if its results are still referenced.
    for r in results where r.tape === tape && tape.entries[r.node].sequence > begin {
      r.leaveTape()
    }
    return outs
  }

  private static var resultsDiffer: LunervError {
    LunervError(
      .argument,
      "checkpoint: expected the same results when the function runs again, got others: it may "
        + "depend only on its arguments, parameters and lv's random numbers")
  }
}

extension Session {
  /// The number of entries recorded so far.
  public var tapeSequence: Int { tape.sequence }
}
