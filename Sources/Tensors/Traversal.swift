import Support

// Traversal of the tape: the entries below some results are visited from last to first, each with
// its whole gradient.

extension Tape {
  /// The roots of a traversal, with their gradients.
  typealias Root = (slot: Int, seed: Value)

  /// Gradients for every leaf below `root`, added to their `grad`.
  ///
  /// - Parameter retaining: whether the graph can be traversed again; otherwise its saved values
  ///   are freed on the way, even if the traversal fails.
  /// - Parameter each: called for each leaf as soon as its `grad` is complete.
  func backward(
    from root: Int, _ seed: Value, retaining: Bool = false, each: ((Tensor) throws -> Void)? = nil
  ) throws {
    _ = try traverse(from: [(root, seed)], Goal(each: each), retaining: retaining)
  }

  /// Gradients of the entries `targets`, nil for unused ones. No `grad` changes, and entries that
  /// lead to no target are not visited.
  ///
  /// - Parameter stopping: whether targets end the traversal: entries below a target are not part
  ///   of the graph, and their hooks do not run.
  func gradients(
    of targets: [Int], from roots: [Root], stopping: Bool = false, retaining: Bool = false
  ) throws -> [Value?] {
    try traverse(from: roots, Goal(targets: targets, stopping: stopping), retaining: retaining)
  }

  /// The inputs of a graph: the entries below `roots` that are no newer than `sequence`, oldest
  /// first, without the entries below those.
  func boundary(of roots: [Int], at sequence: Int) -> [Int] {
    var seen = Set(roots)
    var (next, found) = (Array(seen), [Int]())
    while let slot = next.popLast() {
      if entries[slot].sequence <= sequence {
        found.append(slot)
        continue
      }
      for i in entries[slot].inputs where seen.insert(i).inserted { next.append(i) }
    }
    return found.sorted { entries[$0].sequence < entries[$1].sequence }
  }

  /// Runs `body` while operators record, even within a traversal.
  func recordingAgain<R>(_ body: () throws -> R) rethrows -> R {
    let wasOn = isOn
    isOn = true
    defer { isOn = wasOn }
    return try body()
  }

  private struct Goal {
    /// nil to compute the leaves' `grad`.
    var targets: [Int]?
    var stopping = false
    var each: ((Tensor) throws -> Void)?
  }

  private func traverse(from roots: [Root], _ goal: Goal, retaining: Bool) throws -> [Value?] {
    let wanted = Set(goal.targets ?? [])
    func ends(_ slot: Int) -> Bool { goal.stopping && wanted.contains(slot) }
    var isReached = [Bool](repeating: false, count: entries.count)
    var reached: [(sequence: Int, slot: Int)] = []
    func reach(_ slot: Int) {
      if isReached[slot] { return }
      isReached[slot] = true
      reached.append((entries[slot].sequence, slot))
    }
    for root in roots { reach(root.slot) }
    var next = 0
    while next < reached.count {
      let slot = reached[next].slot
      if !ends(slot) { for i in entries[slot].inputs { reach(i) } }
      next += 1
    }
    reached.sort { $0.sequence > $1.sequence }
    // Whether an entry is a target or leads to one. Inputs are older than their results.
    var leads = isReached
    if goal.targets != nil {
      for (_, slot) in reached.reversed() {
        leads[slot] = wanted.contains(slot) || entries[slot].inputs.contains { leads[$0] }
      }
      reached.removeAll { !leads[$0.slot] }
    }
    // How many entries have yet to add to a leaf's gradient, if the caller wants to know.
    var consumers: [Int: Int] = [:]
    if goal.each != nil {
      for (_, slot) in reached {
        for i in entries[slot].inputs {
          if case .leaf = entries[i].role { consumers[i, default: 0] += 1 }
        }
      }
    }

    var visit = Visit(count: entries.count)
    let wasOn = isOn
    isOn = false
    defer { isOn = wasOn }
    do {
      for root in roots where leads[root.slot] { try visit.add(root.seed, to: root.slot) }
      // Entries whose gradient is a pending sum are deferred, and so are the entries below them.
      var late: [Int] = []
      var isLate: Set<Int> = []
      func go(_ slot: Int) throws {
        let isTarget = wanted.contains(slot)
        let isHooked = !ends(slot)
        guard let gradient = try arrive(slot, &visit, hooked: isHooked, retaining) else { return }
        if isTarget, case .one(let g) = gradient { visit.found[slot] = g }
        if ends(slot) { return }
        if goal.targets != nil, !entries[slot].inputs.contains(where: { leads[$0] }) { return }
        try pass(gradient, from: slot, &visit, to: leads, retaining)
        if let each = goal.each, case .leaf = entries[slot].role, let leaf = entries[slot].leaf {
          try each(leaf)
        }
      }
      // Leaves are the oldest entries, and come last. If the caller takes their gradients, they are
      // visited as soon as these are complete: other ranks get them while the rest is computed.
      func goThrough(_ slot: Int) throws {
        let inputs = entries[slot].inputs
        try go(slot)
        for i in inputs {
          guard let left = consumers[i] else { continue }
          consumers[i] = left - 1
          if left == 1, visit.gradients[i]?.isPendingSum != true { try go(i) }
        }
      }
      for (_, slot) in reached {
        if isLate.contains(slot) || visit.gradients[slot]?.isPendingSum == true {
          late.append(slot)
          isLate.formUnion(entries[slot].inputs)
        } else {
          try goThrough(slot)
        }
      }
      try Value.computePendingSums()
      for slot in late { try goThrough(slot) }
    } catch {
      if !retaining { for (_, slot) in reached { freeSavedValues(of: slot) } }
      throw error
    }
    return (goal.targets ?? []).map { visit.found[$0] }
  }

  /// The gradients that are not yet complete.
  private struct Visit {
    var gradients: [Value?]
    /// Those of the results of joint operators, by the operator.
    var parts: [Int: [Value?]] = [:]
    /// Those of targets.
    var found: [Int: Value] = [:]

    init(count: Int) { gradients = [Value?](repeating: nil, count: count) }

    mutating func add(_ g: Value, to slot: Int) throws {
      gradients[slot] = try gradients[slot].map { try Value.pointwise(.add, [$0, g]) } ?? g
    }
  }

  private enum Arrival {
    case one(Value)
    case several([Value?])
  }

  /// Takes the gradient of an entry, after its hooks; nil if there is none.
  private func arrive(_ slot: Int, _ visit: inout Visit, hooked: Bool, _ retaining: Bool) throws
    -> Arrival?
  {
    if !visit.parts.isEmpty, let all = visit.parts.removeValue(forKey: slot) {
      return .several(all)
    }
    guard var gradient = visit.gradients[slot] else { return nil }
    visit.gradients[slot] = nil
    if hooked, !hooks.isEmpty, let list = hooks[slot] {
      // A hook may hold the tensor that it belongs to; that of a leaf stays.
      if !retaining { if case .leaf = entries[slot].role {} else { hooks[slot] = nil } }
      for hook in list where !hook.isRemoved {
        let profiler = Session.current.profiler
        profiler?.begin(entries[slot].origin, backward: true, counting: .results)
        defer { profiler?.end() }
        gradient = try hook.apply(to: gradient)
      }
    }
    return .one(gradient)
  }

  /// Propagates the gradient of an entry to its inputs, or to the leaf's tensor.
  private func pass(
    _ gradient: Arrival, from slot: Int, _ visit: inout Visit, to leads: [Bool], _ retaining: Bool
  ) throws {
    let (inputs, role, origin) = (entries[slot].inputs, entries[slot].role, entries[slot].origin)
    let results: () throws -> [Value?]
    switch (role, gradient) {
    case (.leaf, .one(let g)):
      if let tensor = entries[slot].leaf { try tensor.accumulate(g) }
      return
    case (.part(let place), .one(let g)):
      guard let joint = inputs.first else { return }
      guard case .joint(let count, _) = entries[joint].role else { throw Tape.isSpent }
      visit.parts[joint, default: [Value?](repeating: nil, count: count)][place] = g
      return
    case (.result(let backward), .one(let g)): results = { try backward(g) }
    case (.joint(_, let backward), .several(let all)): results = { try backward(all) }
    default: throw Tape.isSpent
    }
    try betweenKernels?()
    if !retaining { freeSavedValues(of: slot) }
    let profiler = Session.current.profiler
    profiler?.begin(origin, backward: true, counting: .results)
    defer { profiler?.end() }
    for (input, g) in zip(inputs, try results()) where leads[input] {
      if let g { try visit.add(g, to: input) }
    }
  }

  private static var isSpent: LunervError {
    LunervError(
      .argument,
      "the graph was already traversed and its saved values are freed; compute the loss "
        + "again, or keep it with { retain = true }")
  }

  /// Frees an entry's saved values. The caller may still use the entry: it does not die here.
  private func freeSavedValues(of slot: Int) {
    let (role, unused) = (entries[slot].role, hooks.isEmpty ? nil : hooks[slot])
    if case .leaf = role { return }
    entries[slot].role = .freed
    if unused != nil { hooks[slot] = nil }
    withExtendedLifetime((role, unused)) {}
  }
}

/// A function that sees a gradient before it propagates, and may replace it.
public final class GradientHook {
  private var body: ((Tensor) throws -> Tensor?)?

  init(_ body: @escaping (Tensor) throws -> Tensor?) { self.body = body }

  public var isRemoved: Bool { body == nil }

  /// Removes the hook.
  public func remove() { body = nil }

  func apply(to gradient: Value) throws -> Value {
    guard let body, let other = try body(Tensor(gradient)) else { return gradient }
    try Tensor.checkGradient(other, "register_hook", gradient.shape, gradient.dtype)
    return other.value
  }
}
