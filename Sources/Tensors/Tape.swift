import Support

/// The record of what was computed from what: a flat array of entries with counted
/// references, so that neither recording, walking nor freeing a chain of a million
/// operations recurses.
///
/// An entry lives while the tensor it describes does, or while a later entry needs it.
/// Backward visits the reachable entries from the last to the first and frees what they
/// saved. A session owns the tape.
final class Tape {
  typealias Backward = (Value) throws -> [Value?]

  private struct Entry {
    var sequence = 0
    var references = 0
    var inputs: [Int] = []
    var backward: Backward?
    weak var leaf: Tensor?
    var isLeaf = false
    /// Who asked for the operator, while somebody measures.
    var origin = Profiler.Origin()
  }

  private var entries: ContiguousArray<Entry> = []
  private var free: [Int] = []
  private var sequence = 0
  private var doomed: [Int] = []
  private var draining = false

  /// Off while gradients are computed: they are not differentiated again.
  private var isOn = true
  /// Asked before an operator records: the host knows whether the running coroutine is
  /// inside `no_grad`.
  var gate: (() -> Bool)?

  /// Called between the steps of what may take long in one call: the operators of a backward
  /// pass, a chain of pending convolutions. What it throws ends the call.
  var betweenKernels: (() throws -> Void)?

  var isRecording: Bool {
    get { isOn && (gate?() ?? true) }
    set { isOn = newValue }
  }

  /// Living entries, for tests of leaks.
  var count: Int { entries.count - free.count }

  private func append(_ entry: Entry) -> Int {
    sequence += 1
    var entry = entry
    entry.sequence = sequence
    entry.references = 1
    if let slot = free.popLast() {
      entries[slot] = entry
      return slot
    }
    entries.append(entry)
    return entries.count - 1
  }

  /// An entry for a parameter; gradients arrive in its `grad`.
  func leaf(_ tensor: Tensor) -> Int {
    var entry = Entry()
    entry.leaf = tensor
    entry.isLeaf = true
    return append(entry)
  }

  /// An entry for the result of an operator over the entries `inputs`.
  func record(inputs: [Int], _ backward: @escaping Backward) -> Int {
    for i in inputs { entries[i].references += 1 }
    var entry = Entry()
    entry.inputs = inputs
    entry.backward = backward
    if let profiler = Session.current.profiler { entry.origin = profiler.origin }
    return append(entry)
  }

  /// Gives up one reference. What an entry saved may hold the last reference to tensors
  /// whose entries then go too; they queue up here instead of nesting.
  func release(_ slot: Int) {
    doomed.append(slot)
    if draining { return }
    draining = true
    defer { draining = false }
    while let slot = doomed.popLast() {
      entries[slot].references -= 1
      if entries[slot].references > 0 { continue }
      let dead = entries[slot]
      entries[slot] = Entry()
      free.append(slot)
      doomed.append(contentsOf: dead.inputs)
      withExtendedLifetime(dead) {}
    }
  }

  /// Gradients of the scalar at `root` for every leaf below it, added to their `grad`.
  func backward(from root: Int, _ seed: Value) throws {
    var isReached = [Bool](repeating: false, count: entries.count)
    isReached[root] = true
    var reached = [(sequence: entries[root].sequence, slot: root)]
    var next = 0
    while next < reached.count {
      for i in entries[reached[next].slot].inputs where !isReached[i] {
        isReached[i] = true
        reached.append((entries[i].sequence, i))
      }
      next += 1
    }
    reached.sort { $0.sequence > $1.sequence }
    var gradients = [Value?](repeating: nil, count: entries.count)
    gradients[root] = seed
    let wasOn = isOn
    isOn = false
    defer { isOn = wasOn }
    // Entries whose gradient is a sum that waits for company are left for later, and so is
    // what lies below them.
    var late: [Int] = []
    var isLate: Set<Int> = []
    func postpone(_ slot: Int) {
      late.append(slot)
      isLate.formUnion(entries[slot].inputs)
    }
    func visit(_ slot: Int) throws {
      guard let gradient = gradients[slot] else { return }
      gradients[slot] = nil
      if entries[slot].isLeaf {
        if let tensor = entries[slot].leaf { try tensor.accumulate(gradient) }
        return
      }
      guard let backward = entries[slot].backward else {
        throw LunervError(
          .argument,
          "backward: this graph was already walked once and what it saved is freed; compute the loss again"
        )
      }
      try betweenKernels?()
      let inputs = entries[slot].inputs
      entries[slot].backward = nil
      let profiler = Session.current.profiler
      profiler?.begin(entries[slot].origin, backward: true, counting: .results)
      defer { profiler?.end() }
      for (input, g) in zip(inputs, try backward(gradient)) {
        guard let g else { continue }
        if let sum = gradients[input] {
          gradients[input] = try Value.pointwise(.add, [sum, g])
        } else {
          gradients[input] = g
        }
      }
    }
    for (_, slot) in reached {
      if isLate.contains(slot) || gradients[slot]?.isWaiting == true {
        postpone(slot)
      } else {
        try visit(slot)
      }
    }
    try Value.settleSums()
    for slot in late { try visit(slot) }
  }
}
