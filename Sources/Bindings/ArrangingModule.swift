import LuaBridge
import Support
import Tensors

/// Arrangements for Lua: running sums, flipped and rolled dimensions, triangles, grids, and further
/// names for products of matrices.
enum ArrangingModule {
  static func define(_ s: TensorSurface) {
    moves(s)
    triangles(s)
    grids(s.module)
    products(s)
  }

  private static func moves(_ s: TensorSurface) {
    s.pure(
      "cumsum", params: ["dim"],
      doc: """
        The cumulative sums along a dimension.
        Unlike PyTorch, the sums of integers are f64, as those of `:sum`. Sums are accumulated in
        f64.

            lv.arange(1, 4):cumsum(1)   -- 1 3 6 10
        """
    ) { (x: Tensor, d: Int) in
      try x.cumulativeSum(dimension(d, rank: max(1, x.shape.count), "cumsum"))
    }
    s.pure(
      "flip", params: ["dims…"],
      doc: """
        x with the entries of some dimensions in reverse order.

            image:flip(-1)      -- mirrored
            image:flip(3, 4)    -- rotated by 180°

        @param ... integer|integer[]  the dimensions, as arguments or in one table
        """
    ) { (x: Tensor, dims: Sizes) in
      try x.flipped(dims.shape.map { try dimension($0, x, "flip") })
    }
    s.pure(
      "roll", params: ["shifts", "dims"],
      doc: """
        x shifted along dimensions; elements shifted out at the end return at the front.
        Without dimensions, the flattened tensor is shifted.

            x:roll(1, 2)
            image:roll({ 8, -8 }, { 3, 4 })

        @param shifts integer|integer[]  places, one number for each dimension
        @param dims? integer|integer[]  the dimensions
        """
    ) { (x: Tensor, shifts: Dimensions, dims: Dimensions?) in
      try x.rolled(shifts.list, dims?.resolved(x, "roll"))
    }
  }

  private static func triangles(_ s: TensorSurface) {
    for (name, which, above) in [("tril", "lower", "above"), ("triu", "upper", "below")] {
      let lower = name == "tril"
      s.pure(
        name, params: ["diagonal"],
        doc: """
          The \(which) triangle of matrices (…, rows, columns); what lies \(above) it becomes 0.

              scores:\(name)()
              scores:\(name)(-1)   -- \(lower ? "without" : "with one below") the diagonal

          @param diagonal? integer  the outermost diagonal kept: 0 is the main one, 1 is right of it
          """
      ) { (x: Tensor, diagonal: Int?) in try x.triangle(diagonal ?? 0, lower: lower) }
    }
  }

  private struct Grid: LuaOptions {
    var indexing = "ij"
    static var luaFields: [LuaField<Grid>] {
      [
        LuaField(
          "indexing", \.indexing,
          doc: "'ij': the first list varies along dimension 1; 'xy': along 2")
      ]
    }
  }

  private static func grids(_ m: LuaModule) {
    m.pure(
      "meshgrid", params: ["lists", "options"],
      doc: """
        Coordinates of a grid: for each list of numbers a tensor that varies along its own dimension.
        Unlike PyTorch, the lists are in a table.

            local y, x = lv.meshgrid { lv.linspace(-1, 1, 9), lv.linspace(-1, 1, 16) }   -- (9, 16)

        @param lists lunerv.Tensor[]  tensors of one dimension
        @return lunerv.Tensor ...  one for each list
        """
    ) { (lists: [Tensor], o: Grid) -> LuaResults in
      guard o.indexing == "ij" || o.indexing == "xy" else {
        throw LunervError(
          .argument, "meshgrid: unknown indexing '\(o.indexing.printable)' (known: ij, xy)")
      }
      guard !lists.isEmpty else {
        throw LunervError(.argument, "meshgrid: expected at least one tensor")
      }
      return LuaResults(list: try Tensor.grid(lists, columnsFirst: o.indexing == "xy"))
    }
  }

  private static func products(_ s: TensorSurface) {
    s.pure(
      "bmm", params: ["y"],
      doc: """
        The products of matrices (n, m, k)·(n, k, p) → (n, m, p), without broadcasting; see matmul.

            a:bmm(b)
        """
    ) { (x: Tensor, y: Tensor) in try x.batchedProduct(y) }
    s.pure(
      "outer", params: ["y"],
      doc: """
        The outer product x[i]·y[j] of two tensors of one dimension: (n), (m) → (n, m).

            window:outer(window)
        """
    ) { (x: Tensor, y: Tensor) in try x.outerProduct(y) }
    s.module.pure(
      "einsum", params: ["equation", "x", "..."],
      doc: """
        The Einstein sum that an equation describes.
        Unlike PyTorch, sizes of 1 are broadcast only where `...` stands for them. Letters name
        dimensions: letters missing after the arrow are summed over; a letter that occurs twice in
        one tensor takes its diagonal. Without an arrow, the result has the dimensions of `...`,
        then the letters that occur once, in alphabetical order. Several tensors are multiplied by
        matmul, from left to right.

            lv.einsum("bij,bjk->bik", a, b)
            lv.einsum("ii", a)                        -- the trace
            lv.einsum("...ij,jk,k->...i", x, w, v)

        @param ... lunerv.Tensor  the other tensors that the equation names
        """
    ) { (equation: String, x: Tensor, others: MoreTensors) in
      try Tensor.einsum(equation, [x] + others.list)
    }
  }
}
