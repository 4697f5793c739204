import Kernels
import Support

// Products of matrices and vectors: bmm, outer, einsum. matmul computes bmm and einsum.

extension Tensor {
  /// (n, m, k)·(n, k, p), without broadcasting.
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

  /// The sum of products for an equation such as "bij,bjk->bik"; `...` stands for dimensions
  /// without a letter, which broadcast. More than two tensors are contracted from left to right.
  public static func einsum(_ equation: String, _ operands: [Tensor]) throws -> Tensor {
    guard equation.utf8.count <= 4096 else {
      throw LunervError(
        .argument,
        "einsum: expected an equation of at most 4096 letters, got \(equation.utf8.count)")
    }
    // Which labels of an operand remain depends on all others.
    try Work.charge(operands.count, operands.count, 64)
    let plan = try Equation(equation, operands.map(\.shape))
    for t in operands where !t.isFloating || t.dtype != operands[0].dtype {
      throw LunervError(
        .argument,
        "einsum: expected tensors of one type, f32 or f64, got "
          + operands.map(\.dtype.rawValue).joined(separator: " and ") + " (use :to)")
    }
    var terms: [Term] = []
    for (i, t) in operands.enumerated() {
      let others = plan.inputs.indices.filter { $0 != i }.flatMap { plan.inputs[$0] }
      let term = try Term(tensor: t, labels: plan.inputs[i])
        .withoutStretched(plan.sizes).withoutRepeats()
      terms.append(try term.summed(keeping: Set(plan.output).union(others)))
    }
    var sum = terms[0]
    for i in terms.indices.dropFirst() {
      let later = terms[(i + 1)...].flatMap(\.labels)
      sum = try sum.contracted(terms[i], keeping: Set(plan.output).union(later))
    }
    let result = try sum.ordered(plan.output)
    // "ij->ij" has nothing to do.
    return operands.contains { $0 === result } ? result.another() : result
  }

  /// A parsed equation: the labels of each operand's dimensions, and of the result's.
  private struct Equation {
    var inputs: [[Character]] = []
    var output: [Character]
    var sizes: [Character: Int] = [:]

    private static func refuse(_ words: String) -> LunervError {
      LunervError(.argument, "einsum: \(words)")
    }

    /// The label of a dimension that `...` stands for, counted from the last.
    private static func unnamed(_ index: Int) -> Character {
      Character(Unicode.Scalar(0x100 + UInt32(index)) ?? "…")
    }

    /// The labels of one part of the equation, where `...` stands for `count` dimensions.
    private static func labels(_ part: Substring, unnamed count: (Int) throws -> Int) throws
      -> [Character]
    {
      var (labels, rest, dots): ([Character], Substring, Int?) = ([], part, nil)
      while let first = rest.first {
        if rest.hasPrefix("...") {
          guard dots == nil else { throw refuse("'\(part)' has '...' twice") }
          dots = labels.count
          rest = rest.dropFirst(3)
        } else if first.isASCII && first.isLetter {
          labels.append(first)
          rest = rest.dropFirst()
        } else {
          throw refuse(
            "expected letters, '...', ',' and '->' as in \"ij,jk->ik\", got "
              + "'\(String(first).printable)'")
        }
      }
      guard let at = dots else { return labels }
      let more = try count(labels.count)
      labels.insert(contentsOf: (0..<more).reversed().map(unnamed), at: at)
      return labels
    }

    init(_ text: String, _ shapes: [[Int]]) throws {
      let text = text.filter { $0 != " " }
      var (left, right): (Substring, Substring?) = (text[...], nil)
      if let arrow = text.firstIndex(of: "-"), text[arrow...].hasPrefix("->") {
        (left, right) = (text[..<arrow], text[arrow...].dropFirst(2))
      }
      let parts = left.split(separator: ",", omittingEmptySubsequences: false)
      guard parts.count == shapes.count else {
        throw Equation.refuse(
          "the equation names \(parts.count) tensors, but \(shapes.count) were given")
      }
      var mostUnnamed = 0
      for (part, shape) in zip(parts, shapes) {
        let labels = try Equation.labels(part) { named in
          mostUnnamed = max(mostUnnamed, shape.count - named)
          return max(0, shape.count - named)
        }
        guard labels.count == shape.count else {
          throw Equation.refuse(
            "'\(part)' names \(labels.count) dimensions of a tensor of shape "
              + Shape.describe(shape))
        }
        for (label, size) in zip(labels, shape) {
          let known = sizes[label] ?? size
          let broadcasts = !label.isASCII && (known == 1 || size == 1)
          guard known == size || broadcasts else {
            throw Equation.refuse(
              "'\(label.isASCII ? String(label) : "...")': expected one size, got \(known) and "
                + "\(size)")
          }
          sizes[label] = size == 1 ? known : size
        }
        inputs.append(labels)
      }
      let counts = inputs.flatMap { $0 }.reduce(into: [Character: Int]()) {
        $0[$1, default: 0] += 1
      }
      let unnamed = (0..<mostUnnamed).reversed().map(Equation.unnamed)
      // Without an arrow: dimensions without a letter, then letters that occur once, in
      // alphabetical order.
      output =
        try right.map { part in try Equation.labels(part) { _ in mostUnnamed } }
        ?? unnamed + counts.filter { $0.value == 1 && $0.key.isASCII }.map(\.key).sorted()
      for (i, label) in output.enumerated() {
        guard counts[label] != nil else {
          throw Equation.refuse("'\(label)' of the result is in no tensor")
        }
        guard !output[..<i].contains(label) else {
          throw Equation.refuse("'\(label)' is twice in the result")
        }
      }
    }
  }

  /// A tensor with labelled dimensions.
  private struct Term {
    var tensor: Tensor
    var labels: [Character]

    /// Dimensions of 1 that broadcast to another operand's size are left out: the other has them.
    func withoutStretched(_ sizes: [Character: Int]) throws -> Term {
      let kept = labels.indices.filter { tensor.shape[$0] == sizes[labels[$0]] }
      if kept.count == labels.count { return self }
      return Term(
        tensor: try tensor.viewed(kept.map { tensor.shape[$0] }), labels: kept.map { labels[$0] })
    }

    /// A repeated label stands for the diagonal.
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

    /// One matrix for each index of the first group; the dimensions of each group become one.
    private func grouped(_ groups: [[Character]]) throws -> Tensor {
      let flat = try ordered(groups.flatMap { $0 })
      return try flat.viewed(groups.map { Shape.count($0.map(size)) })
    }

    private func size(_ label: Character) -> Int {
      labels.firstIndex(of: label).map { tensor.shape[$0] } ?? 1
    }

    /// The products, summed over the labels that both have and that are no longer needed.
    func contracted(_ other: Term, keeping kept: Set<Character>) throws -> Term {
      let shared = labels.filter { other.labels.contains($0) }
      let batch = shared.filter { kept.contains($0) }
      let summed = shared.filter { !kept.contains($0) }
      let own = labels.filter { !shared.contains($0) }
      let others = other.labels.filter { !shared.contains($0) }
      let product = try grouped([batch, own, summed]).matmul(
        other.grouped([batch, summed, others]))
      let sizes = (batch + own).map(size) + others.map(other.size)
      return Term(tensor: try product.viewed(sizes), labels: batch + own + others)
    }
  }
}
