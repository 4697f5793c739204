import Support

/// The record of operators and their inputs: a flat array of entries with reference counts, so that
/// recording, traversing and freeing a chain of a million operations does not recurse.
///
/// An entry lives while its tensor does, or while a later entry needs it. Traversal.swift visits
/// the reachable entries from last to first and frees their saved values. A session owns the tape.
final class Tape {
  typealias Backward = (Value) throws -> [Value?]
  /// For several results: their gradients, nil for unused ones.
  typealias JointBackward = ([Value?]) throws -> [Value?]

  enum Role {
    /// A parameter.
    case leaf
    /// The result of an operator.
    case result(Backward)
    /// An operator with several results, each of which is a `part`.
    case joint(Int, JointBackward)
    /// The result of this index of the joint operator that is its only input.
    case part(Int)
    /// The saved values are freed.
    case freed
  }

  struct Entry {
    var sequence = 0
    var references = 0
    var inputs: [Int] = []
    var role = Role.freed
    weak var leaf: Tensor?
    /// The operator's caller, under the profiler.
    var origin = Profiler.Origin()
  }

  var entries: ContiguousArray<Entry> = []
  /// Hooks that see the gradient of an entry before it propagates; few entries have any.
  var hooks: [Int: [GradientHook]] = [:]
  private var free: [Int] = []
  /// The number of entries recorded so far.
  private(set) var sequence = 0
  private var releaseQueue: [Int] = []
  private var isReleasing = false

  /// Off while gradients are computed: they cannot be differentiated again.
  var isOn = true
  /// Called before an operator records: the host knows whether the running coroutine is inside
  /// `no_grad`.
  var gate: (() -> Bool)?

  /// Called between the steps of a long call: the operators of a backward pass, a chain of pending
  /// convolutions. An error ends the call.
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

  /// - Parameter name: the operator's name in a profile; nil if Lua called it.
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

  /// Drops one reference. Values saved by an entry may hold the last reference to tensors whose
  /// entries then go too; these are queued instead of nesting.
  func release(_ slot: Int) {
    releaseQueue.append(slot)
    if isReleasing { return }
    isReleasing = true
    defer { isReleasing = false }
    while let slot = releaseQueue.popLast() {
      entries[slot].references -= 1
      if entries[slot].references > 0 { continue }
      let dead = entries[slot]
      let unused = hooks.isEmpty ? nil : hooks.removeValue(forKey: slot)
      entries[slot] = Entry()
      free.append(slot)
      releaseQueue.append(contentsOf: dead.inputs)
      withExtendedLifetime((dead, unused)) {}
    }
  }
}
