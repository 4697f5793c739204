import Kernels

// Deferred sums over feature maps. A gradient needs several numbers per channel of the same maps
// (Σg, Σg·f) and, soon after, a map computed from them: one pass gives all. So the sums stay
// pending until a map that shares an operand with them is stored, or until they are read.

struct PendingSums {
  weak var sums: Value?
  var source: Value
}

/// Sums of smaller maps are computed immediately.
private let leastElements = 1 << 14

extension Value {
  /// Whether this value is a pending sum.
  var isPendingSum: Bool { if case .channelSums = state { true } else { false } }

  /// Σ over images and pixels, one per channel, shape (1, C, 1, 1), pending; nil if this is not a
  /// large feature map.
  func channelSums() -> Value? {
    guard dtype == .f32, layout == .channelsLast, physicalCount >= leastElements else { return nil }
    switch state {
    case .stored, .pointwise: break
    default: return nil
    }
    let sums = Value(
      shape: [1, shape[1], 1, 1], dtype: dtype, layout: .channelsLast, state: .channelSums(self))
    let session = Session.current
    session.pendingSums.removeAll { $0.sums == nil }
    session.pendingSums.append(PendingSums(sums: sums, source: self))
    return sums
  }

  /// Computes all pending sums, which would otherwise keep maps in memory.
  static func computePendingSums() throws {
    let session = Session.current
    while let next = session.pendingSums.last {
      if let sums = next.sums { try sums.materialise() } else { session.pendingSums.removeLast() }
    }
  }

  /// Computes this value, a map or sums, together with the pending sums over the same maps. False
  /// if none joins a map, which is then better computed separately.
  @discardableResult
  func sweep() throws -> Bool {
    var map: Value?
    var members: [PendingSums] = []
    let session = Session.current
    session.pendingSums.removeAll { $0.sums == nil }
    let lead: Value
    if case .channelSums(let source) = state {
      lead = source
      members = [PendingSums(sums: self, source: source)]
    } else {
      guard !session.pendingSums.isEmpty, dtype == .f32, layout == .channelsLast else {
        return false
      }
      lead = self
      map = self
    }
    var maps = lead.fullLeaves
    for w in session.pendingSums where w.sums !== self {
      guard w.source.shape == lead.shape, w.source.layout == lead.layout else { continue }
      let leaves = w.source.fullLeaves
      guard !leaves.isDisjoint(with: maps), maps.union(leaves).count <= mostMaps else { continue }
      maps.formUnion(leaves)
      members.append(w)
    }
    if members.isEmpty { return false }
    // Removed first: computing an operand may sweep too.
    session.pendingSums.removeAll { w in members.contains { $0.sums === w.sums } }
    let stored = try map.map { try Value.allocate($0.shape, $0.dtype, $0.layout) }
    let sums = try members.map {
      try Value.allocate([1, $0.source.shape[1], 1, 1], .f32, .channelsLast)
    }
    let program = try Value.program(of: (map.map { [$0] } ?? []) + members.map(\.source))
    var sinks: [PointwiseProgram.Sink] = []
    if let stored { sinks.append(.values(try stored.memory(Float.self))) }
    for s in sums { sinks.append(.laneSums(try s.memory(Float.self))) }
    program.evaluateAll(into: sinks)
    if let map, let stored { map.state = stored.state }
    for (member, value) in zip(members, sums) { member.sums?.state = value.state }
    return true
  }
}

/// More full-size arrays than this in one pass would evict each other's pieces from the first-level
/// cache.
private let mostMaps = 6
