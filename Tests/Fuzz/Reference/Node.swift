/// A value of the reference interpreter: plain numbers in f64, and their graph. Operators consist
/// of a few forms: functions of elements, sums of weighted elements, sums of products, and extrema.
final class Node {
  let shape: [Int]
  let values: [Double]
  /// The largest magnitude among its inputs: rounding errors are in proportion to it.
  let noise: Double
  let needsGradient: Bool
  /// Whether values are small multiples of a power of two, which f32 computes exactly: only these
  /// are used in functions with jumps.
  let isExact: Bool
  private let inputs: [Node]
  private let back: (_ g: [Double]) -> [[Double]?]
  /// Whether the graph was traversed.
  private(set) var isTraversed = false
  /// Shared by all values of a leaf.
  let slot: Slot

  final class Slot { var gradient: [Double]? }

  var count: Int { values.count }
  var isLeaf: Bool { inputs.isEmpty }

  init(
    _ shape: [Int], _ values: [Double], needsGradient: Bool = false, isExact: Bool = false,
    noise: Double = 0, slot: Slot = Slot(), inputs: [Node] = [],
    back: @escaping ([Double]) -> [[Double]?] = { _ in [] }
  ) {
    self.slot = slot
    self.shape = shape
    self.values = values
    self.needsGradient = needsGradient
    self.isExact = isExact
    self.noise = max(noise, values.reduce(0) { max($0, abs($1)) })
    self.inputs = needsGradient ? inputs : []
    self.back = back
  }

  /// All inputs of this, each after what was computed from it.
  private func graph() -> [Node] {
    var order: [Node] = []
    var seen: Set<ObjectIdentifier> = []
    func visit(_ node: Node) {
      guard node.needsGradient, seen.insert(ObjectIdentifier(node)).inserted else { return }
      for input in node.inputs { visit(input) }
      order.append(node)
    }
    visit(self)
    return order.reversed()
  }

  /// Adds gradients to those of the leaves, and returns the largest magnitude on the way; nil if
  /// the graph, or a part of it, was traversed before.
  func backward(_ seed: [Double], retaining: Bool, _ rounded: (Double) -> Double) -> Double? {
    let order = graph()
    guard needsGradient, !order.contains(where: \.isTraversed) else {
      // A failed traversal may stop anywhere; it frees what it has visited.
      for node in order where !node.isLeaf { node.isTraversed = true }
      return nil
    }
    var gradients: [ObjectIdentifier: [Double]] = [ObjectIdentifier(self): seed]
    var largest = seed.reduce(0) { max($0, abs($1)) }
    for node in order {
      guard let g = gradients.removeValue(forKey: ObjectIdentifier(node)) else { continue }
      largest = g.reduce(largest) { max($0, abs($1)) }
      if node.isLeaf {
        node.slot.gradient =
          node.slot.gradient.map { zip($0, g).map { rounded($0 + $1) } } ?? g
        continue
      }
      if !retaining { node.isTraversed = true }
      for (input, part) in zip(node.inputs, node.back(g)) {
        guard input.needsGradient, let part else { continue }
        let id = ObjectIdentifier(input)
        let term = part.map(rounded)
        gradients[id] = gradients[id].map { zip($0, term).map { rounded($0 + $1) } } ?? term
      }
    }
    return largest
  }
}

/// The operators' forms; results are rounded to f32 if `rounds` is true.
struct Arithmetic {
  /// Whether everything is rounded to f32, to measure the effect of rounding.
  let rounds: Bool
  var isRecording = true

  func rounded(_ x: Double) -> Double { rounds ? Double(Float(x)) : x }

  private func result(
    _ shape: [Int], _ values: [Double], of inputs: [Node], isExact: Bool = false,
    noise: Double = 0, back: @escaping ([Double]) -> [[Double]?]
  ) -> Node {
    let rounded = values.map(self.rounded)
    let largest = inputs.reduce(noise) { max($0, $1.noise) }
    let stays = isExact && inputs.allSatisfy(\.isExact) && rounded.allSatisfy { abs($0) < 4096 }
    return Node(
      shape, rounded, needsGradient: isRecording && inputs.contains(where: \.needsGradient),
      isExact: stays, noise: largest, inputs: inputs, back: back)
  }

  /// f of every element. Without a derivative, the result is not recorded, or, with `isRecorded`,
  /// its gradient is dropped in the backward pass.
  func map(
    _ x: Node, isExact: Bool = false, isRecorded: Bool = true, _ f: (Double) -> Double,
    _ df: ((Double) -> Double)?
  ) -> Node {
    guard let df else {
      let noted = isRecorded ? [x] : []
      return result(
        x.shape, x.values.map(f), of: noted, isExact: isExact && x.isExact, noise: x.noise
      ) { _ in [nil] }
    }
    let derivative = x.values.map(df)
    return result(x.shape, x.values.map(f), of: [x], isExact: isExact) { g in
      [zip(g, derivative).map { $0 * $1 }]
    }
  }

  /// f of pairs; shapes broadcast. Nil if they do not.
  func pairs(
    _ a: Node, _ b: Node, isExact: Bool = false, _ f: (Double, Double) -> Double,
    _ fa: @escaping (Double, Double) -> Double, _ fb: @escaping (Double, Double) -> Double
  ) -> Node? {
    guard let shape = Shapes.broadcast(a.shape, b.shape) else { return nil }
    let (ia, ib) = (Shapes.stretched(a.shape, to: shape), Shapes.stretched(b.shape, to: shape))
    let values = zip(ia, ib).map { f(a.values[$0], b.values[$1]) }
    return result(shape, values, of: [a, b], isExact: isExact) { g in
      var (ga, gb) = (
        [Double](repeating: 0, count: a.count), [Double](repeating: 0, count: b.count)
      )
      for k in g.indices {
        let (x, y) = (a.values[ia[k]], b.values[ib[k]])
        ga[ia[k]] += g[k] * fa(x, y)
        gb[ib[k]] += g[k] * fb(x, y)
      }
      return [ga, gb]
    }
  }

  /// Sums of weighted elements: element `out` gets weight · element `from`.
  func sums(
    _ x: Node, _ shape: [Int], isExact: Bool = false,
    _ terms: [(out: Int, from: Int, weight: Double)]
  ) -> Node {
    var values = [Double](repeating: 0, count: Shapes.count(shape))
    var sizes = values
    for t in terms {
      values[t.out] += x.values[t.from] * t.weight
      sizes[t.out] += abs(x.values[t.from] * t.weight)
    }
    return result(shape, values, of: [x], isExact: isExact, noise: sizes.max() ?? 0) { g in
      var gx = [Double](repeating: 0, count: x.count)
      for t in terms { gx[t.from] += g[t.out] * t.weight }
      return [gx]
    }
  }

  /// Moved elements; −1 stands for a zero.
  func moved(_ x: Node, _ shape: [Int], _ from: [Int]) -> Node {
    sums(
      x, shape, isExact: true,
      from.enumerated().filter { $1 >= 0 }.map { (out: $0, from: $1, weight: 1) })
  }

  /// Elements of `a` followed by `b`, picked by their places.
  func joined(_ a: Node, _ b: Node, _ shape: [Int], _ from: [Int]) -> Node {
    let all = a.values + b.values
    return result(shape, from.map { all[$0] }, of: [a, b], isExact: true) { g in
      var gradient = [Double](repeating: 0, count: all.count)
      for (k, place) in from.enumerated() { gradient[place] += g[k] }
      return [Array(gradient[..<a.count]), Array(gradient[a.count...])]
    }
  }

  /// Sums of products.
  func products(
    _ a: Node, _ b: Node, _ shape: [Int], _ terms: [(out: Int, a: Int, b: Int)]
  ) -> Node {
    var values = [Double](repeating: 0, count: Shapes.count(shape))
    var sizes = values
    for t in terms {
      values[t.out] += a.values[t.a] * b.values[t.b]
      sizes[t.out] += abs(a.values[t.a] * b.values[t.b])
    }
    // Fast convolutions also round sums of inputs.
    let noise = max(sizes.max() ?? 0, 16 * a.noise * b.noise)
    return result(shape, values, of: [a, b], isExact: false, noise: noise) { g in
      var (ga, gb) = (
        [Double](repeating: 0, count: a.count), [Double](repeating: 0, count: b.count)
      )
      for t in terms {
        ga[t.a] += g[t.out] * b.values[t.b]
        gb[t.b] += g[t.out] * a.values[t.a]
      }
      return [ga, gb]
    }
  }

  /// The largest (sign 1) or smallest (−1) of the elements that map to each position. Ties share
  /// the gradient, or the first of them gets all of it.
  func extrema(_ x: Node, _ shape: [Int], _ places: [[Int]], sign: Double, shares: Bool) -> Node {
    let best = places.map { list in list.map { x.values[$0] * sign }.max().map { $0 * sign } ?? 0 }
    return result(shape, best, of: [x], isExact: true) { g in
      var gx = [Double](repeating: 0, count: x.count)
      for (k, list) in places.enumerated() {
        let ties = list.filter { x.values[$0] == best[k] }
        let chosen = shares ? ties[...] : ties.prefix(1)
        for place in chosen { gx[place] += g[k] / Double(chosen.count) }
      }
      return [gx]
    }
  }
}

/// Positions of elements, in logical order.
enum Shapes {
  static func count(_ shape: [Int]) -> Int { shape.reduce(1, *) }

  static func strides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for d in shape.indices.dropLast().reversed() { strides[d] = strides[d + 1] * shape[d + 1] }
    return strides
  }

  /// Calls `body` with the position and the indices of each element.
  static func forEach(_ shape: [Int], _ body: (Int, [Int]) -> Void) {
    var index = [Int](repeating: 0, count: shape.count)
    for place in 0..<count(shape) {
      body(place, index)
      for d in shape.indices.reversed() {
        index[d] += 1
        if index[d] < shape[d] { break }
        index[d] = 0
      }
    }
  }

  static func place(_ index: [Int], _ strides: [Int]) -> Int {
    zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }
  }

  /// For each element of `shape` its source, by its indices.
  static func places(_ shape: [Int], _ from: ([Int]) -> Int) -> [Int] {
    var list: [Int] = []
    list.reserveCapacity(count(shape))
    forEach(shape) { list.append(from($1)) }
    return list
  }

  static func broadcast(_ a: [Int], _ b: [Int]) -> [Int]? {
    let rank = max(a.count, b.count)
    var shape: [Int] = []
    for d in 0..<rank {
      let x = d < rank - a.count ? 1 : a[d - (rank - a.count)]
      let y = d < rank - b.count ? 1 : b[d - (rank - b.count)]
      guard x == y || x == 1 || y == 1 else { return nil }
      shape.append(x == 1 ? y : x)
    }
    return shape
  }

  static func stretched(_ shape: [Int], to full: [Int]) -> [Int] {
    let own = strides(shape)
    let extra = full.count - shape.count
    return places(full) { index in
      var place = 0
      for d in shape.indices where shape[d] > 1 { place += index[d + extra] * own[d] }
      return place
    }
  }

  /// The shape without some dimensions, or with sizes of 1 there, and the target of each element.
  static func reduced(_ shape: [Int], _ dims: Set<Int>, keep: Bool) -> (shape: [Int], to: [Int]) {
    let kept = shape.indices.map { dims.contains($0) ? 1 : shape[$0] }
    let steps = strides(kept)
    let to = places(shape) { index in
      shape.indices.reduce(0) { $0 + (dims.contains($1) ? 0 : index[$1] * steps[$1]) }
    }
    let out = keep ? kept : shape.indices.filter { !dims.contains($0) }.map { shape[$0] }
    return (out, to)
  }
}
