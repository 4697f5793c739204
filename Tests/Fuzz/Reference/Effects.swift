/// Effects beyond a result: writing in place, gradients, mistakes, closed tensors.
extension Machine {
  /// Writing in place: all of a tensor, or a part.
  mutating func write() {
    guard let x = pick(), let y = pick(), !x.variable.isTaken, x.node.count > 0 else { return }
    let number = dyadic()
    switch input.choice(4) {
    case 0, 1:
      // A tensor with a gradient is only written without recording, and only if it is a leaf.
      guard !x.node.needsGradient || !math.isRecording && x.node.isLeaf,
        Shapes.broadcast(x.node.shape, y.node.shape) == x.node.shape
      else { return }
      let was = math.isRecording
      math.isRecording = false
      let adds = input.choice(2) == 0
      let sum =
        adds
        ? math.pairs(
          x.node, y.node, isExact: true, { $0 + $1 * number }, { _, _ in 0 }, { _, _ in 0 })
        : math.pairs(x.node, y.node, isExact: true, *, { _, _ in 0 }, { _, _ in 0 })
      math.isRecording = was
      guard let sum, sum.noise < 1e3 else { return }
      let fresh = Node(
        x.node.shape, sum.values, needsGradient: x.node.needsGradient,
        isExact: sum.isExact, noise: sum.noise, slot: x.node.slot)
      effect(adds ? "\(x.text):add_(\(y.text), \(text(number)))" : "\(x.text):mul_(\(y.text))")
      x.variable.node = fresh
    default:
      // x[{ {}, i }] = y: gradients flow to both.
      guard let rows = x.node.shape.first, math.isRecording,
        !(x.node.needsGradient && x.node.isLeaf)
      else { return }
      let i = input.choice(rows)
      let rest = Array(x.node.shape.dropFirst())
      guard Shapes.broadcast(rest, y.node.shape) == rest else { return }
      let size = Shapes.count(rest)
      let stretched = Shapes.stretched(y.node.shape, to: rest)
      let from = (0..<x.node.count).map {
        $0 / max(size, 1) == i ? x.node.count + stretched[$0 % max(size, 1)] : $0
      }
      effect("\(x.text)[\(i + 1)] = \(y.text)", isStatement: true)
      x.variable.node = math.joined(x.node, y.node, x.node.shape, from)
    }
  }

  mutating func effect(_ text: String, isStatement: Bool = false) {
    let body = isStatement ? text : "return \(text)"
    let inner = math.isRecording ? body : "return n.no_grad(function() \(body) end)"
    lines.append("must(function() \(inner) end, \"\(lines.count)\")")
  }

  mutating func backward() {
    guard let x = pick(), x.node.count > 0 else { return }
    let retaining = input.choice(4) == 0
    let weight = 1 / Double(x.node.count)
    var arithmetic = math
    arithmetic.isRecording = true
    let loss = arithmetic.sums(
      x.node, [], (0..<x.node.count).map { (out: 0, from: $0, weight: weight) })
    let largest = loss.backward([1], retaining: retaining, math.rounded)
    if let largest {
      gradientNoise = max(gradientNoise, largest)
      lines.append(
        "must(function() \(x.text):mean():backward(nil, {retain = \(retaining)}) end, "
          + "\"\(lines.count)\")")
    } else if x.node.needsGradient {
      lines.append("pcall(function() \(x.text):mean():backward() end)")
      areGradientsKnown = false
    } else {
      lines.append("fails(function() \(x.text):mean():backward() end)")
    }
  }

  /// An invalid call: it must be an error, and change nothing.
  mutating func mistake() {
    guard let x = pick() else { return }
    lines.append(
      "fails(function() return "
        + input.pick([
          "\(x.text) + {}", "\(x.text):view(0, 7)", "\(x.text):sum(9)", "\(x.text):permute(1, 1)",
          "\(x.text) .. 1", "\(x.text):select(1, 9999)", "\(x.text):to('f16')",
          "\(x.text):matmul(1)", "\(x.text)[0]", "\(x.text):index_select(1, {9999})",
          "\(x.text):conv2d()", "\(x.text):softmax(0)", "n.cat({\(x.text), 1}, 1)",
          "\(x.text):pad({1, 2, 3})", "\(x.text):unsqueeze(99)", "error('mine')",
          "\(x.text):nothing()", "\(x.text):add(\(x.text):to('i32'))",
        ]) + " end)")
  }

  /// A tensor that its block closes: the variable is nil afterwards.
  mutating func close() {
    guard input.choice(3) == 0 else { return }
    let usable = variables.indices.filter { variables[$0] != nil }
    guard usable.count > 3 else { return }
    let number = usable[input.choice(usable.count)]
    lines.append("do local x <close> = v[\(number)] end v[\(number)] = nil")
    // Other tensors may be computed from it.
    variables[number] = nil
  }
}
