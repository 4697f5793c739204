import Support

/// The record of what was computed from what: a flat array of entries with counted
/// references, so that neither recording, walking nor freeing a chain of a million
/// operations recurses.
///
/// An entry lives while the tensor it describes does, or while a later entry needs it.
/// Walk.swift visits the reachable entries from the last to the first and frees what they
/// saved. A session owns the tape.
final class Tape {
  typealias Backward = (Value) throws -> [Value?]
  /// Of several results: their gradients, nil for those that nothing was computed from.
  typealias JointBackward = ([Value?]) throws -> [Value?]

  enum Role {
    /// A parameter.
    case leaf
    /// The result of an operator.
    case result(Backward)
    /// An operator with so many results, each of which is a `part`.
    case joint(Int, JointBackward)
    /// The result with this number of the joint operator that is its only input.
    case part(Int)
    /// What was saved is freed.
    case spent
  }

  struct Entry {
    var sequence = 0
    var references = 0
    var inputs: [Int] = []
    var role = Role.spent
    weak var leaf: Tensor?
    /// Who asked for the operator, while somebody measures.
    var origin = Profiler.Origin()
  }

  var entries: ContiguousArray<Entry> = []
  /// Functions that see the gradient of an entry before it goes on; few have any.
  var hooks: [Int: [GradientHook]] = [:]
  private var free: [Int] = []
  /// How many entries there have been.
  private(set) var sequence = 0
  private var doomed: [Int] = []
  private var draining = false

  /// Off while gradients are computed: they are not differentiated again.
  var isOn = true
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
    entry.role = .leaf
    return append(entry)
  }

  /// An entry for the result of an operator over the entries `inputs`.
  func record(inputs: [Int], _ backward: @escaping Backward) -> Int {
    record(inputs: inputs, .result(backward))
  }

  /// - Parameter name: what a profile calls the operator; nil for what was called from Lua.
  func record(inputs: [Int], _ role: Role, name: String? = nil) -> Int {
    for i in inputs { entries[i].references += 1 }
    var entry = Entry()
    entry.inputs = inputs
    entry.role = role
    if let profiler = Session.current.profiler {
      entry.origin = name.map { profiler.origin($0) } ?? profiler.origin
    }
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
      let unused = hooks.isEmpty ? nil : hooks.removeValue(forKey: slot)
      entries[slot] = Entry()
      free.append(slot)
      doomed.append(contentsOf: dead.inputs)
      withExtendedLifetime((dead, unused)) {}
    }
  }
}
