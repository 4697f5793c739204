/// Moved elements.
extension Machine {
  mutating func move() {
    guard let x = pick() else { return }
    let shape = x.node.shape
    let strides = Shapes.strides(shape)
    let rank = shape.count
    let d = rank > 0 ? input.choice(rank) : 0
    guard rank > 0 else {
      step("\(x.text):unsqueeze(1)", math.moved(x.node, [1], [0]), isTaken: true)
      return
    }
    /// Elements with another index in dimension d.
    func along(_ indices: [Int]) -> ([Int], [Int]) {
      var out = shape
      out[d] = indices.count
      return (
        out,
        Shapes.places(out) { index in
          var from = index
          from[d] = indices[index[d]]
          return Shapes.place(from, strides)
        }
      )
    }
    switch input.choice(14) {
    case 0:
      let out = input.choice(2) == 0 ? [x.node.count] : [1, x.node.count]
      step(
        "\(x.text):view(\(list(out)))", math.moved(x.node, out, Array(0..<x.node.count)),
        isTaken: true)
    case 1:
      let order = permutation(rank)
      let out = order.map { shape[$0] }
      let from = Shapes.places(out) { index in
        zip(order, index).reduce(0) { $0 + $1.1 * strides[$1.0] }
      }
      step(
        "\(x.text):permute(\(list(order.map { $0 + 1 })))", math.moved(x.node, out, from),
        isTaken: true)
    case 2:
      let first = input.choice(shape[d])
      let last = first + input.choice(shape[d] - first)
      let (out, from) = along(Array(first...last))
      step(
        "\(x.text):slice(\(d + 1), \(first + 1), \(last + 1))", math.moved(x.node, out, from),
        isTaken: true)
    case 3:
      let i = input.choice(shape[d])
      let (out, from) = along([i])
      var dropped = out
      dropped.remove(at: d)
      step(
        "\(x.text):select(\(d + 1 - (input.choice(2) == 0 ? 0 : rank + 1)), \(i + 1))",
        math.moved(x.node, dropped, from), isTaken: true)
    case 4:
      let (out, from) = along((0..<shape[d]).reversed())
      step("n.flip(\(x.text), {\(d + 1)})", math.moved(x.node, out, from))
    case 5:
      let indices = (0..<1 + input.choice(5)).map { _ in input.choice(shape[d]) }
      let (out, from) = along(indices)
      step(
        "\(x.text):index_select(\(d + 1), \(list(indices.map { $0 + 1 })))",
        math.moved(x.node, out, from))
    case 6:
      var out = shape
      out.insert(1, at: d)
      step(
        "\(x.text):unsqueeze(\(d + 1))", math.moved(x.node, out, Array(0..<x.node.count)),
        isTaken: true)
    case 7:
      let out = [2] + shape
      step(
        "\(x.text):expand(\(list(out)))",
        math.moved(x.node, out, Shapes.stretched(shape, to: out)), isTaken: true)
    case 8:
      guard let y = pick(), y.node.shape.count == rank,
        zip(shape, y.node.shape).enumerated().allSatisfy({ $0 == d || $1.0 == $1.1 })
      else {
        return step("n.cat({\(x.text), \(x.text):sum()}, \(d + 1))", nil)
      }
      var out = shape
      out[d] += y.node.shape[d]
      let other = Shapes.strides(y.node.shape)
      let from = Shapes.places(out) { index in
        if index[d] < shape[d] { return Shapes.place(index, strides) }
        var inside = index
        inside[d] -= shape[d]
        return x.node.count + Shapes.place(inside, other)
      }
      step("n.cat({\(x.text), \(y.text)}, \(d + 1))", math.joined(x.node, y.node, out, from))
    case 9:
      let amount = Int(input.byte()) - 128
      let (out, from) = along(
        (0..<shape[d]).map { (($0 - amount) % shape[d] + shape[d]) % shape[d] })
      step("n.roll(\(x.text), \(amount), \(d + 1))", math.moved(x.node, out, from))
    case 10:
      guard rank >= 2 else { return }
      let k = input.choice(5) - 2
      let lower = input.choice(2) == 0
      let from = Shapes.places(shape) { index in
        let (row, column) = (index[rank - 2], index[rank - 1])
        let stays = lower ? column - row <= k : column - row >= k
        return stays ? Shapes.place(index, strides) : -1
      }
      step("n.\(lower ? "tril" : "triu")(\(x.text), \(k))", math.moved(x.node, shape, from))
    case 11:
      // x[{ {}, {first, last, step} }] and the like.
      var out: [Int] = []
      var texts: [String] = []
      var picked: [(first: Int, step: Int, isDropped: Bool)] = []
      for size in shape {
        switch input.choice(3) {
        case 0:
          texts.append("{}")
          picked.append((0, 1, false))
          out.append(size)
        case 1:
          let i = input.choice(size)
          texts.append(input.choice(2) == 0 ? "\(i + 1)" : "\(i - size)")
          picked.append((i, 1, true))
        default:
          let first = input.choice(size)
          let last = first + input.choice(size - first)
          let step = 1 + input.choice(2)
          texts.append("{\(first + 1), \(last + 1), \(step)}")
          picked.append((first, step, false))
          out.append((last - first) / step + 1)
        }
      }
      let from = Shapes.places(out) { index in
        var (place, k) = (0, 0)
        for (d, entry) in picked.enumerated() {
          if entry.isDropped {
            place += entry.first * strides[d]
          } else {
            place += (entry.first + index[k] * entry.step) * strides[d]
            k += 1
          }
        }
        return place
      }
      step(
        "\(x.text)[{\(texts.joined(separator: ", "))}]", math.moved(x.node, out, from),
        isTaken: true)
    case 12:
      guard rank >= 1 else { return }
      let (before, after) = (input.choice(4), input.choice(4))
      let mode = input.pick(["constant", "edge", "circular", "reflect"])
      let size = shape[rank - 1]
      if mode == "reflect", before >= size || after >= size { return }
      if mode == "circular", before > size || after > size { return }
      var out = shape
      out[rank - 1] += before + after
      let from = Shapes.places(out) { index in
        var inside = index
        var i = index[rank - 1] - before
        switch mode {
        case "constant": if i < 0 || i >= size { return -1 }
        case "edge": i = min(max(i, 0), size - 1)
        case "circular": i = (i % size + size) % size
        default:
          if i < 0 { i = -i }
          if i >= size { i = 2 * (size - 1) - i }
        }
        inside[rank - 1] = i
        return Shapes.place(inside, strides)
      }
      step(
        "\(x.text):pad({\(before), \(after)}, {mode = \"\(mode)\"})",
        math.moved(x.node, out, from))
    default:
      guard rank == 4, shape[1] % 4 == 0 else { return }
      let out = [shape[0], shape[1] / 4, shape[2] * 2, shape[3] * 2]
      let from = Shapes.places(out) { i in
        Shapes.place([i[0], i[1] * 4 + i[2] % 2 * 2 + i[3] % 2, i[2] / 2, i[3] / 2], strides)
      }
      step("\(x.text):pixel_shuffle(2)", math.moved(x.node, out, from))
    }
  }

  mutating func permutation(_ count: Int) -> [Int] {
    var rest = Array(0..<count)
    return (0..<count).map { _ in rest.remove(at: input.choice(rest.count)) }
  }
}
