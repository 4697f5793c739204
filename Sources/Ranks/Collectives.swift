import Support

// Collectives: operations of all ranks together. Every rank must call the same ones in the same
// order. Each begins by exchanging its name and number, so it is an error if the ranks diverge.

extension Ranks {
  private enum Tag {
    static let head = 1
    static let body = 2
  }

  /// Sent before a rank's bytes: the collective, and the number of bytes that follow.
  private struct Head {
    var number: UInt64
    var name: UInt64
    var count: UInt64

    var bytes: [UInt8] {
      [number, name, count].flatMap { word in
        (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) }
      }
    }

    static let size = 24

    init(number: UInt64, name: String, count: Int) {
      self.number = number
      self.name = name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
      self.count = UInt64(count)
    }

    init(_ bytes: some Collection<UInt8>) {
      let words = (0..<3).map { k in
        bytes.dropFirst(8 * k).prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      }
      (number, name, count) = (words[0], words[1], words[2])
    }
  }

  /// The bytes of all ranks, by rank.
  ///
  /// - Parameter what: the purpose, for errors.
  public func gather(_ own: [UInt8], as what: String) throws -> [[UInt8]] {
    guard size > 1 else { return [own] }
    let head = nextHead(what, count: own.count)
    let heads = try exchange(
      head.bytes, [Int](repeating: Head.size, count: size), Tag.head, what)
    let theirs = heads.map { Head($0) }
    for (peer, other) in theirs.enumerated()
    where peer != rank && (other.number != head.number || other.name != head.name) {
      throw LunervError(
        .argument,
        "\(what): \(name(of: peer)) and \(name(of: rank)) called different collectives: all ranks "
          + "must call the same ones in the same order"
      )
    }
    return try exchange(own, theirs.map { Int($0.count) }, Tag.body, what)
  }

  private func nextHead(_ what: String, count: Int) -> Head {
    collectives += 1
    return Head(number: collectives, name: what, count: count)
  }

  /// Sends `own` to all ranks, and returns the bytes of all ranks, whose sizes are known.
  private func exchange(_ own: [UInt8], _ sizes: [Int], _ tag: Int, _ what: String) throws
    -> [[UInt8]]
  {
    var starts = [0]
    for (peer, size) in sizes.enumerated() {
      starts.append(starts[peer] + (peer == rank ? 0 : size))
    }
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: starts[size], alignment: 8)
    // After a lost rank, MPI may still write into it.
    defer { if !isBroken { room.deallocate() } }
    func place(_ peer: Int) -> UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(rebasing: room[starts[peer]..<starts[peer + 1]])
    }
    try own.withUnsafeBytes { bytes in
      var messages: [Message] = []
      for peer in 0..<size where peer != rank && sizes[peer] > 0 {
        messages.append(try receive(place(peer), from: peer, tag: tag))
      }
      if !own.isEmpty {
        for peer in 0..<size where peer != rank {
          messages.append(try send(bytes, to: peer, tag: tag))
        }
      }
      try wait(messages, as: what)
    }
    return (0..<size).map { $0 == rank ? own : Array(place($0)) }
  }

  /// Sends `bytes` of rank `root` to all others, whose buffers have the same size.
  public func broadcast(
    _ bytes: UnsafeMutableRawBufferPointer, from root: Int, as what: String
  ) throws {
    guard size > 1, bytes.count > 0 else { return }
    // A binomial tree: after k rounds, 2^k ranks have the bytes.
    let own = (rank - root + size) % size
    var reach = 1
    while reach < size {
      if own < reach {
        let other = own + reach
        if other < size {
          try wait(
            [try send(UnsafeRawBufferPointer(bytes), to: (other + root) % size, tag: Tag.body)],
            as: what)
        }
      } else if own < 2 * reach {
        try wait([try receive(bytes, from: (own - reach + root) % size, tag: Tag.body)], as: what)
      }
      reach *= 2
    }
  }

  /// Sums the elements of all ranks' buffers, which have the same size, in place. They are added in
  /// the order of ``FrameTree`` over the ranks, so every rank gets the same bits. Each rank sums one
  /// part and sends it to the others.
  public func sum<Number: AdditiveArithmetic>(
    _ numbers: UnsafeMutableBufferPointer<Number>, as what: String
  ) throws {
    guard size > 1 else { return }
    let parts = (0..<size).map { FrameTree.share(of: numbers.count, rank: $0, size: size) }
    let own = parts[rank]
    let room = UnsafeMutableBufferPointer<Number>.allocate(capacity: own.count * size)
    defer { if !isBroken { room.deallocate() } }
    func place(_ peer: Int) -> UnsafeMutableBufferPointer<Number> {
      UnsafeMutableBufferPointer(rebasing: room[(peer * own.count)..<((peer + 1) * own.count)])
    }
    func part(_ peer: Int) -> UnsafeMutableBufferPointer<Number> {
      UnsafeMutableBufferPointer(rebasing: numbers[parts[peer]])
    }
    var messages: [Message] = []
    for peer in 0..<size where peer != rank && !own.isEmpty {
      messages.append(
        try receive(UnsafeMutableRawBufferPointer(place(peer)), from: peer, tag: Tag.body))
    }
    for peer in 0..<size where peer != rank && !parts[peer].isEmpty {
      messages.append(try send(UnsafeRawBufferPointer(part(peer)), to: peer, tag: Tag.body))
    }
    try wait(messages, as: what)
    if !own.isEmpty {
      _ = place(rank).update(fromContentsOf: part(rank))
      let total = add(0..<size, place)
      _ = part(rank).update(fromContentsOf: total)
    }
    messages = []
    for peer in 0..<size where peer != rank && !parts[peer].isEmpty {
      messages.append(
        try receive(UnsafeMutableRawBufferPointer(part(peer)), from: peer, tag: Tag.body))
    }
    for peer in 0..<size where peer != rank && !own.isEmpty {
      messages.append(try send(UnsafeRawBufferPointer(part(rank)), to: peer, tag: Tag.body))
    }
    try wait(messages, as: what)
  }

  /// Sums a node of the tree in the memory of its first leaf.
  private func add<Number: AdditiveArithmetic>(
    _ node: FrameTree.Node, _ leaf: (Int) -> UnsafeMutableBufferPointer<Number>
  ) -> UnsafeMutableBufferPointer<Number> {
    guard node.count > 1 else { return leaf(node.lowerBound) }
    let halves = FrameTree.halves(of: node)
    let (left, right) = (add(halves.left, leaf), add(halves.right, leaf))
    for i in left.indices { left[i] += right[i] }
    return left
  }
}
