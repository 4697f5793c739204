import Kernels
import Support

// Products of matrices in other words: bmm, outer, einsum. All of them are matmul.

extension Tensor {
  /// (n, m, k)·(n, k, p), without stretching.
  public func batchedProduct(_ other: Tensor) throws -> Tensor {
    let (a, b) = (shape, other.shape)
    guard a.count == 3, b.count == 3, a[0] == b[0], a[2] == b[1] else {
      throw LunervError(
        .argument,
        "bmm: expected (n, m, k) and (n, k, p), got \(Shape.describe(a)) and \(Shape.describe(b))")
    }
    return try matmul(other)
  }

  /// x[i]·y[j].
  public func outerProduct(_ other: Tensor) throws -> Tensor {
    guard shape.count == 1, other.shape.count == 1 else {
      throw LunervError(
        .argument,
        "outer: expected two tensors of one dimension, got \(Shape.describe(shape)) and "
          + Shape.describe(other.shape))
    }
    return try viewed([count, 1]).multiplied(by: other.viewed([1, other.count]))
  }

  /// The sum of products that an equation such as "bij,bjk->bik" names.
  public static func einsum(_ equation: String, _ operands: [Tensor]) throws -> Tensor {
    let plan = try Equation(equation, operands.map(\.shape))
    for t in operands where !t.isFloating || t.dtype != operands[0].dtype {
      throw LunervError(
        .argument,
        "einsum: expected f32 or f64, one of them throughout, got "
          + operands.map(\.dtype.rawValue).joined(separator: " and ") + " (use :to)")
    }
    var terms: [Term] = []
    for (i, t) in operands.enumerated() {
      let others = plan.inputs.indices.filter { $0 != i }.flatMap { plan.inputs[$0] }
      terms.append(
        try Term(tensor: t, labels: plan.inputs[i]).withoutRepeats()
          .summed(keeping: Set(plan.output).union(others)))
    }
    guard terms.count == 2 else { return try terms[0].ordered(plan.output) }
    return try terms[0].contracted(terms[1], plan.output).ordered(plan.output)
  }

  /// An equation read: the labels of each operand's dimensions, and of the result's.
  private struct Equation {
    var inputs: [[Character]]
    var output: [Character]

    init(_ text: String, _ shapes: [[Int]]) throws {
      func refuse(_ words: String) -> LunervError { .init(.argument, "einsum: \(words)") }
      let text = text.filter { $0 != " " }
      guard !text.contains("."), !text.contains("…") else {
        throw refuse("an ellipsis is not understood: name every dimension by a letter")
      }
      var (left, right): (Substring, Substring?) = (text[...], nil)
      if let arrow = text.firstIndex(of: "-"), text[arrow...].hasPrefix("->") {
        (left, right) = (text[..<arrow], text[arrow...].dropFirst(2))
      }
      inputs = left.split(separator: ",", omittingEmptySubsequences: false).map(Array.init)
      let labels = inputs.flatMap { $0 } + Array(right ?? "")
      if let other = labels.first(where: { !($0.isASCII && $0.isLetter) }) {
        throw refuse(
          "expected letters, ',' and '->' as in \"ij,jk->ik\", got '\(String(other).printable)'")
      }
      guard inputs.count == shapes.count else {
        throw refuse(
          "the equation names \(inputs.count) tensors, but \(shapes.count) were given (1 or 2)")
      }
      var sizes: [Character: Int] = [:]
      for (labels, shape) in zip(inputs, shapes) {
        guard labels.count == shape.count else {
          throw refuse(
            "'\(String(labels))' names \(labels.count) dimensions of a tensor of shape "
              + Shape.describe(shape))
        }
        for (label, size) in zip(labels, shape) {
          guard let known = sizes[label], known != size else {
            sizes[label] = size
            continue
          }
          throw refuse("'\(label)' is \(known) and \(size)")
        }
      }
      let counts = inputs.flatMap { $0 }.reduce(into: [Character: Int]()) {
        $0[$1, default: 0] += 1
      }
      // Without an arrow: what occurs once, in the alphabet's order.
      output = right.map(Array.init) ?? counts.filter { $0.value == 1 }.map(\.key).sorted()
      for (i, label) in output.enumerated() {
        guard counts[label] != nil else { throw refuse("'\(label)' of the result is in no tensor") }
        guard !output[..<i].contains(label) else {
          throw refuse("'\(label)' is twice in the result")
        }
      }
    }
  }

  /// A tensor whose dimensions have labels.
  private struct Term {
    var tensor: Tensor
    var labels: [Character]

    /// A label that comes twice stands for the diagonal.
    func withoutRepeats() throws -> Term {
      var term = self
      while let label = term.labels.first(where: { l in term.labels.count { $0 == l } > 1 }) {
        let at = term.labels.indices.filter { term.labels[$0] == label }.prefix(2)
        let rest = term.labels.indices.filter { !at.contains($0) }
        let n = term.tensor.shape[at[0]]
        let kept = rest.map { term.tensor.shape[$0] }
        let flat = try term.tensor.permuted(rest + at).viewed(kept + [n * n])
        var block = kept.map { Block.Entries(first: 0, count: $0) }
        block.append(.init(first: 0, count: n, step: n + 1))
        term = Term(
          tensor: n == 0 ? flat : try flat.picked(Block(block)),
          labels: rest.map { term.labels[$0] } + [label])
      }
      return term
    }

    func summed(keeping kept: Set<Character>) throws -> Term {
      let gone = labels.indices.filter { !kept.contains(labels[$0]) }
      if gone.isEmpty { return self }
      return Term(tensor: try tensor.sum(gone), labels: labels.filter { kept.contains($0) })
    }

    func ordered(_ output: [Character]) throws -> Tensor {
      try tensor.permuted(output.compactMap { labels.firstIndex(of: $0) })
    }

    /// As a matrix for each choice of what `groups` begins with: sizes of each group as one.
    private func grouped(_ groups: [[Character]]) throws -> Tensor {
      let flat = try ordered(groups.flatMap { $0 })
      return try flat.viewed(groups.map { Shape.count($0.map(size)) })
    }

    private func size(_ label: Character) -> Int {
      labels.firstIndex(of: label).map { tensor.shape[$0] } ?? 1
    }

    /// The products summed over what is in both and not in the result.
    func contracted(_ other: Term, _ output: [Character]) throws -> Term {
      let shared = labels.filter { other.labels.contains($0) }
      let batch = shared.filter { output.contains($0) }
      let summed = shared.filter { !output.contains($0) }
      let own = labels.filter { !shared.contains($0) }
      let others = other.labels.filter { !shared.contains($0) }
      let product = try grouped([batch, own, summed]).matmul(
        other.grouped([batch, summed, others]))
      let sizes = (batch + own).map(size) + others.map(other.size)
      return Term(tensor: try product.viewed(sizes), labels: batch + own + others)
    }
  }
}
