import Glibc

/// Sums, extrema, and sums of products.
extension Machine {
  mutating func reduce() {
    guard let x = pick(), x.node.count > 0 else { return }
    let shape = x.node.shape
    var dims: Set<Int> = []
    for d in shape.indices where input.choice(2) == 0 { dims.insert(d) }
    let keep = input.choice(2) == 0
    let isWhole = dims.isEmpty
    if isWhole { dims = Set(shape.indices) }
    let (out, to) = Shapes.reduced(shape, dims, keep: keep)
    let sorted = list(dims.sorted().map { $0 + 1 })
    let arguments = isWhole ? "{keepdim = \(keep)}" : "\(sorted), \(keep)"
    let share = Double(max(Shapes.count(out), 1)) / Double(x.node.count)
    func total(_ node: Node, _ weight: Double, _ shape: [Int]) -> Node {
      math.sums(
        node, shape, isExact: weight == 1,
        to.enumerated().map { (out: $1, from: $0, weight: weight) })
    }
    switch input.choice(6) {
    case 0: step("\(x.text):sum(\(arguments))", total(x.node, 1, out))
    case 1: step("\(x.text):mean(\(arguments))", total(x.node, share, out))
    case 2:
      guard x.node.isExact else { return }
      var places = [[Int]](repeating: [], count: Shapes.count(out))
      for (from, place) in to.enumerated() { places[place].append(from) }
      let largest = input.choice(2) == 0
      step(
        "\(x.text):\(largest ? "amax" : "amin")(\(arguments))",
        math.extrema(x.node, out, places, sign: largest ? 1 : -1, shares: true))
    case 3:
      let kept = shape.indices.map { dims.contains($0) ? 1 : shape[$0] }
      let mean = total(x.node, share, kept)
      guard let centred = math.pairs(x.node, mean, -, { _, _ in 1 }, { _, _ in -1 }) else { return }
      let squares = math.map(centred, { $0 * $0 }, { 2 * $0 })
      step("\(x.text):var(\(arguments))", total(squares, share, out))
    case 4:
      guard let d = shape.indices.last(where: { dims.contains($0) }) else { return }
      let strides = Shapes.strides(shape)
      var terms: [(out: Int, from: Int, weight: Double)] = []
      Shapes.forEach(shape) { place, index in
        for k in 0...index[d] {
          terms.append((place, place - (index[d] - k) * strides[d], 1))
        }
      }
      step(
        "\(x.text):cumsum(\(d + 1))", math.sums(x.node, shape, isExact: true, terms))
    default:
      guard let d = shape.indices.last else { return }
      softmax(x.text, x.node, d)
    }
  }

  mutating func softmax(_ text: String, _ x: Node, _ d: Int) {
    guard x.noise < 50 else { return }
    let kept = x.shape.indices.map { $0 == d ? 1 : x.shape[$0] }
    let (_, to) = Shapes.reduced(x.shape, [d], keep: true)
    let powers = math.map(x, { exp($0) }, { exp($0) })
    // Quotients are not as far from 1 as powers are.
    let sum = math.sums(powers, kept, to.enumerated().map { (out: $1, from: $0, weight: 1) })
    if input.choice(2) == 0 {
      guard
        let quotient = math.pairs(powers, sum, { $0 / $1 }, { 1 / $1 }, { -$0 / ($1 * $1) })
      else { return }
      step("\(text):softmax(\(d + 1))", quotient)
    } else {
      step("n.logsumexp(\(text), \(d + 1), true)", math.map(sum, { log($0) }, { 1 / $0 }))
    }
  }

  mutating func product() {
    guard let a = pick(), let b = pick() else { return }
    let (p, q) = (a.node.shape, b.node.shape)
    switch input.choice(4) {
    case 0, 1:
      guard p.count >= 2, q.count == 2 else { return outer(a, b) }
      let (m, k) = (p[p.count - 2], p[p.count - 1])
      guard k == q[0] || k == q[1] else { return step("\(a.text):matmul(\(b.text))", nil) }
      // x·weightᵀ if the sizes match, else the product.
      let isLinear = k == q[1] && (k != q[0] || input.choice(2) == 0)
      let columns = isLinear ? q[0] : q[1]
      let rows = a.node.count / max(k, 1)
      guard k > 0, rows * columns * k <= 8192 else { return }
      var terms: [(out: Int, a: Int, b: Int)] = []
      for i in 0..<rows {
        for j in 0..<columns {
          for l in 0..<k {
            terms.append((i * columns + j, i * k + l, isLinear ? j * k + l : l * columns + j))
          }
        }
      }
      let out = Array(p.dropLast(2)) + [m, columns]
      step(
        isLinear ? "\(a.text):linear(\(b.text))" : "\(a.text):matmul(\(b.text))",
        math.products(a.node, b.node, out, terms))
    case 2: convolution(a, b)
    default: outer(a, b)
    }
  }

  mutating func outer(
    _ a: (text: String, node: Node, variable: Variable),
    _ b: (text: String, node: Node, variable: Variable)
  ) {
    guard a.node.count * b.node.count <= 600 else { return }
    var terms: [(out: Int, a: Int, b: Int)] = []
    for i in 0..<a.node.count {
      for j in 0..<b.node.count { terms.append((i * b.node.count + j, i, j)) }
    }
    step(
      "n.outer(\(a.text):view(-1), \(b.text):view(-1))",
      math.products(a.node, b.node, [a.node.count, b.node.count], terms))
  }

  /// conv2d, with a kernel made of any tensor that has enough elements.
  mutating func convolution(
    _ a: (text: String, node: Node, variable: Variable),
    _ b: (text: String, node: Node, variable: Variable)
  ) {
    let p = a.node.shape
    guard p.count == 4, a.node.count > 0 else { return }
    let groups = p[1] % 2 == 0 ? 1 + input.choice(2) : 1
    let size = 1 + input.choice(3)
    let inner = p[1] / groups
    let outputs = groups * (1 + input.choice(3))
    let (stride, padding, dilation) = (1 + input.choice(2), input.choice(3), 1 + input.choice(2))
    let need = outputs * inner * size * size
    guard b.node.count >= need else { return }
    let height = (p[2] + 2 * padding - dilation * (size - 1) - 1) / stride + 1
    let width = (p[3] + 2 * padding - dilation * (size - 1) - 1) / stride + 1
    guard p[2] + 2 * padding > dilation * (size - 1), p[3] + 2 * padding > dilation * (size - 1)
    else { return }
    let out = [p[0], outputs, height, width]
    guard Shapes.count(out) * inner * size * size <= 40_000 else { return }
    let kernel = math.moved(b.node, [outputs, inner, size, size], Array(0..<need))
    let (xs, ks) = (Shapes.strides(p), Shapes.strides(kernel.shape))
    var terms: [(out: Int, a: Int, b: Int)] = []
    Shapes.forEach(out) { place, i in
      let group = i[1] / (outputs / groups)
      for c in 0..<inner {
        for r in 0..<size {
          for s in 0..<size {
            let y = i[2] * stride + r * dilation - padding
            let x = i[3] * stride + s * dilation - padding
            guard y >= 0, y < p[2], x >= 0, x < p[3] else { continue }
            terms.append(
              (
                place, Shapes.place([i[0], group * inner + c, y, x], xs),
                Shapes.place([i[1], c, r, s], ks)
              ))
          }
        }
      }
    }
    step(
      "\(a.text):conv2d(\(b.text):view(-1):slice(1, 1, \(need)):view({\(outputs), \(inner), \(size), "
        + "\(size)}), nil, {stride = \(stride), padding = \(padding), dilation = \(dilation), "
        + "groups = \(groups)})",
      math.products(a.node, kernel, out, terms))
  }
}
