import LuaBridge
import Support
import Tensors

/// Order for Lua: sorting, top k, argmax and argmin, unique numbers.
enum OrderingModule {
  static func define(_ s: TensorSurface) {
    sorting(s)
    extremes(s)
    distinct(s)
  }

  private struct Sorting: LuaOptions {
    var dim: Int?
    var descending = false
    static var luaFields: [LuaField<Sorting>] {
      [
        LuaField("dim", \.dim, doc: "the dimension (-1)"),
        LuaField("descending", \.descending, doc: "whether the largest comes first"),
      ]
    }
  }

  private struct Top: LuaOptions {
    var dim: Int?
    var largest = true
    static var luaFields: [LuaField<Top>] {
      [
        LuaField("dim", \.dim, doc: "the dimension (-1)"),
        LuaField("largest", \.largest, doc: "whether the largest are returned, or the smallest"),
      ]
    }
  }

  /// A dimension, or options instead of it or after it.
  private static func resolve<O: LuaOptions>(
    _ d: Form<Int, O>, _ given: O?, _ dim: (O) -> Int?, _ name: String
  ) throws -> (dim: Int?, options: O) {
    switch d {
    case .absent: return (given.flatMap(dim), given ?? O())
    case .options(let options):
      guard given == nil else {
        throw LunervError(.argument, "\(name): expected one table of options, got two")
      }
      return (dim(options), options)
    case .value(let value):
      guard given.flatMap(dim) == nil else {
        throw LunervError(.argument, "\(name): a dimension was given twice")
      }
      return (value, given ?? O())
    }
  }

  private static func resolve(
    _ d: Form<Int, Sorting>, _ descending: Form<Bool, Sorting>, _ name: String
  ) throws -> (dim: Int?, descending: Bool) {
    var given: Sorting?
    if case .options(let options) = descending { given = options }
    let resolved = try resolve(d, given, { $0.dim }, name)
    if case .value(let descends) = descending { return (resolved.dim, descends) }
    return (resolved.dim, resolved.options.descending)
  }

  private static func sorting(_ s: TensorSurface) {
    s.pure(
      "sort", params: ["dim", "descending"],
      doc: """
        The elements along a dimension in sorted order, and the places where they were.
        Unlike PyTorch, places are i32 and count from 1, and equal numbers always keep their order.
        NaN counts as the largest.

            local values, places = x:sort(2)
            x:sort { descending = true }    -- or x:sort(-1, true)

        @param dim? integer|table  the dimension, or options (-1)
        @param descending? boolean|table  whether the largest comes first, or options (false)
        @return lunerv.Tensor  the numbers
        @return lunerv.Tensor  their places, for `:gather`
        """
    ) { (x: Tensor, d: Form<Int, Sorting>, descending: Form<Bool, Sorting>) -> LuaResults in
      let resolved = try resolve(d, descending, "sort")
      let (values, places) = try x.sorted(
        dimensionOrOnly(resolved.dim, x, "sort"), descending: resolved.descending)
      return LuaResults(values, places)
    }
    s.pure(
      "argsort", params: ["dim", "descending"],
      doc: """
        The places of the elements along a dimension, in sorted order.
        Unlike PyTorch, places are i32 and count from 1, and equal numbers always keep their order.

            x:index_select(1, x:select(2, 1):argsort())   -- rows by their first column

        @param dim? integer|table  the dimension, or options (-1)
        @param descending? boolean|table  whether the largest comes first, or options (false)
        """
    ) { (x: Tensor, d: Form<Int, Sorting>, descending: Form<Bool, Sorting>) -> Tensor in
      let resolved = try resolve(d, descending, "argsort")
      return try x.detach().sorted(
        dimensionOrOnly(resolved.dim, x, "argsort"), descending: resolved.descending, as: "argsort"
      ).places
    }
    s.pure(
      "topk", params: ["k", "dim", "options"],
      doc: """
        The k largest numbers along a dimension, in order, and their places.
        Unlike PyTorch, places are i32 and count from 1, the result is always in order, and of equal
        numbers the first is taken.

            local values, places = scores:topk(5)
            local nearest = distances:topk(3, { largest = false })

        @param dim? integer|table  the dimension, or options (-1)
        @return lunerv.Tensor  the numbers
        @return lunerv.Tensor  their places
        """
    ) { (x: Tensor, k: Int, d: Form<Int, Top>, o: Top?) -> LuaResults in
      let resolved = try resolve(d, o, { $0.dim }, "topk")
      let (values, places) = try x.top(
        k, dimensionOrOnly(resolved.dim, x, "topk"), largest: resolved.options.largest)
      return LuaResults(values, places)
    }
  }

  /// A dimension, the last by default; a scalar counts as a list of one.
  private static func dimensionOrOnly(_ d: Int?, _ x: Tensor, _ name: String) throws -> Int {
    try dimension(d ?? -1, rank: max(1, x.shape.count), name)
  }

  private struct Keeping: LuaOptions {
    var dim: Int?
    var keepdim = false
    static var luaFields: [LuaField<Keeping>] {
      [
        LuaField("dim", \.dim, doc: "the dimension (all elements)"),
        LuaField("keepdim", \.keepdim, doc: "whether it stays as a size of 1"),
      ]
    }
  }

  private static func extremes(_ s: TensorSurface) {
    for (name, which, largest) in [("argmax", "largest", true), ("argmin", "smallest", false)] {
      s.pure(
        name, params: ["dim", "keep"],
        doc: """
          The place of the \(which) number along a dimension, or among all; of equals the first.
          Unlike PyTorch, places are i32 and count from 1. Without a dimension they count in
          row-major order. NaN wins.

              scores:\(name)(-1)
              x:flatten()[x:\(name)():item()]

          @param dim? integer|table  the dimension, or options; all elements by default
          @param keep? boolean|table  whether it stays as a size of 1, or options (false)
          """
      ) { (x: Tensor, d: Form<Int, Keeping>, keep: Form<Bool, Keeping>) -> Tensor in
        var given: Keeping?
        if case .options(let options) = keep { given = options }
        let resolved = try resolve(d, given, { $0.dim }, name)
        var keeps = resolved.options.keepdim
        if case .value(let value) = keep { keeps = value }
        return try x.argExtremum(
          resolved.dim.map { try dimensionOrOnly($0, x, name) }, largest: largest, keep: keeps)
      }
    }
  }

  private struct Distinct: LuaOptions {
    var inverse = false
    var counts = false
    static var luaFields: [LuaField<Distinct>] {
      [
        LuaField(
          "inverse", \.inverse, doc: "whether to return the position of each element's number"),
        LuaField("counts", \.counts, doc: "whether to return how often each number occurs"),
      ]
    }
  }

  private static func distinct(_ s: TensorSurface) {
    s.pure(
      "unique", params: ["options"],
      doc: """
        The distinct elements of a tensor, sorted, in one dimension.
        Unlike PyTorch, they are always sorted, places are i32 and count from 1, and the options are
        `inverse` and `counts`. NaN equals nothing. There is no gradient.

            local levels = image:unique()
            local values, places = x:unique { inverse = true }   -- values[places] is x

        @return lunerv.Tensor  the numbers
        @return lunerv.Tensor?  with `inverse`: for each element the place of its number
        @return lunerv.Tensor?  with `counts`: how often each occurs; second without `inverse`
        """
    ) { (x: Tensor, o: Distinct) -> LuaResults in
      let (values, inverse, counts) = try x.distinct()
      var results: [(any LuaResult)?] = [values]
      if o.inverse { results.append(inverse) }
      if o.counts { results.append(counts) }
      return LuaResults(list: results)
    }
  }
}
