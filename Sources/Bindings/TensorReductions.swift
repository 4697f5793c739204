import LuaBridge
import Support
import Tensors

// Reductions: over all dimensions, one, or several; `x:sum(2, true)` and
// `x:sum(2, { keepdim = true })`.

/// Options of every reduction.
private protocol ReductionOptions: LuaOptions {
  var dim: Dimensions? { get }
  var keepdim: Bool { get }
}

private struct Reducing: ReductionOptions {
  var dim: Dimensions?
  var keepdim = false
  static var luaFields: [LuaField<Reducing>] {
    [
      LuaField("dim", \.dim, doc: "the dimension, or a table of several (all)"),
      LuaField("keepdim", \.keepdim, doc: "whether they remain as sizes of 1"),
    ]
  }
}

private struct Varying: ReductionOptions {
  var dim: Dimensions?
  var keepdim = false
  var unbiased = false
  static var luaFields: [LuaField<Varying>] {
    [
      LuaField("dim", \.dim, doc: "the dimension, or a table of several (all)"),
      LuaField("keepdim", \.keepdim, doc: "whether they remain as sizes of 1"),
      LuaField("unbiased", \.unbiased, doc: "whether the sum is divided by n − 1 instead of n"),
    ]
  }
}

/// The arguments of a reduction, in any of its forms.
private func resolve<O: ReductionOptions>(
  _ x: Tensor, _ name: String, _ dims: Form<Dimensions, O>, _ keep: Form<Bool, O>
) throws -> (dims: [Int]?, keep: Bool, options: O) {
  // Most calls have no options.
  if case (.absent, .absent) = (dims, keep) { return (nil, false, O()) }
  var options = O()
  var given: Dimensions?
  var keeps: Bool?
  switch dims {
  case .absent: break
  case .value(let value): given = value
  case .options(let o): options = o
  }
  switch (keep, dims) {
  case (.absent, _): break
  case (.value(let value), _): keeps = value
  case (.options, .options):
    throw LunervError(.argument, "\(name): expected one table of options, got two")
  case (.options(let o), _): options = o
  }
  if given != nil, options.dim != nil {
    throw LunervError(.argument, "\(name): dimensions were given twice")
  }
  return (
    try (given ?? options.dim)?.resolved(x, name), keeps ?? options.keepdim, options
  )
}

extension TensorModule {
  private static let usage = """


    @param dims? integer|integer[]|table  the dimension, several, or options; all by default
    @param keep? boolean|table  whether they stay as sizes of 1, or options; false by default
    """

  static func reductions(_ s: TensorSurface) {
    typealias Reduction = (Tensor, [Int]?, Bool) throws -> Tensor
    let sum: Reduction = { try $0.sum($1, keep: $2) }
    let mean: Reduction = { try $0.mean($1, keep: $2) }
    let largest: Reduction = { try $0.extremum(.maximum, $1, keep: $2) }
    let smallest: Reduction = { try $0.extremum(.minimum, $1, keep: $2) }
    let logSumExp: Reduction = { try $0.logSumExp($1, keep: $2) }
    let all: [(String, String, Reduction)] = [
      (
        "sum",
        """
        The sum over some dimensions, or all.
        Integers are summed in f64, exactly up to 2⁵³, and the sum is f64.

            x:sum()
            x:sum(2, { keepdim = true })    -- or x:sum(2, true)
            x:sum { 3, 4 }
        """, sum
      ),
      (
        "mean",
        """
        The mean over some dimensions, or all.
        The mean of integers is f64.

            x:mean(-1)
        """, mean
      ),
      (
        "amax",
        """
        The largest element over some dimensions, or all; ties share the gradient.
        No elements are an error; NaN wins.

            x:amax(1)
        """, largest
      ),
      (
        "amin",
        """
        The smallest element over some dimensions, or all; ties share the gradient.
        No elements are an error; NaN wins.

            x:amin(1)
        """, smallest
      ),
      (
        "logsumexp",
        """
        log Σ eˣ over some dimensions, or all, without overflow.
        Its gradient is the softmax. Of no elements it is −∞.

            scores:logsumexp(-1)
            scores:logsumexp(2, { keepdim = true })   -- or scores:logsumexp(2, true)
        """, logSumExp
      ),
    ]
    for (name, doc, body) in all {
      s.pure(name, params: ["dims", "keep"], doc: doc + usage) {
        (x: Tensor, dims: Form<Dimensions, Reducing>, keep: Form<Bool, Reducing>) -> Tensor in
        let resolved = try resolve(x, name, dims, keep)
        return try body(x, resolved.dims, resolved.keep)
      }
    }
    for (name, whole, body) in [("max", "amax", largest), ("min", "amin", smallest)] {
      s.method(
        name, params: ["dims", "keep"],
        doc: """
          Another name of `:\(whole)`.
          Unlike PyTorch, a dimension gives the elements alone, without their places; of two tensors
          `lv.\(name)imum` takes the \(name == "max" ? "larger" : "smaller") elements.

              x:\(name)():item()
          """ + usage
      ) { (x: Tensor, dims: Form<Dimensions, Reducing>, keep: Form<Bool, Reducing>) -> Tensor in
        let resolved = try resolve(x, name, dims, keep)
        return try body(x, resolved.dims, resolved.keep)
      }
    }
    spread(s)
  }

  private static func spread(_ s: TensorSurface) {
    struct Unbiased: LuaOptions {
      var unbiased = false
      static var luaFields: [LuaField<Unbiased>] {
        [LuaField("unbiased", \.unbiased, doc: "whether the sum is divided by n − 1")]
      }
    }
    typealias Measure = (Tensor, [Int]?, Bool, Bool) throws -> Tensor
    let measures: [(String, String, String, Measure)] = [
      ("var", "variance", "", { try $0.variance($1, keep: $2, unbiased: $3) }),
      (
        "std", "standard deviation", " If all elements are equal, the gradient is 0.",
        { try $0.deviation($1, keep: $2, unbiased: $3) }
      ),
    ]
    for (name, what, more, body) in measures {
      s.pure(
        name, params: ["dims", "keep", "options"],
        doc: """
          The \(what) over some dimensions, or all.
          Unlike PyTorch, the sum of squares is divided by n, not n − 1, unless `unbiased` is true.\(more)
          Of integers it is f64.

              x:\(name)({ 3, 4 }, { keepdim = true })
              x:\(name) { unbiased = true }
          """ + usage
      ) {
        (
          x: Tensor, dims: Form<Dimensions, Varying>, keep: Form<Bool, Varying>, o: Unbiased?
        ) -> Tensor in
        let resolved = try resolve(x, name, dims, keep)
        return try body(
          x, resolved.dims, resolved.keep, resolved.options.unbiased || o?.unbiased ?? false)
      }
    }
  }
}
