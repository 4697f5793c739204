import LuaBridge
import Support
import Tensors

/// Indices for Lua: elements read from and written to positions that an index tensor names.
enum IndexingModule {
  static func define(_ s: TensorSurface) {
    single(s)
    slices(s)
    classes(s)
  }

  private static func single(_ s: TensorSurface) {
    s.pure(
      "gather", params: ["dim", "index"],
      doc: """
        out[…, i, …] = x[…, index[…, i, …], …] along a dimension.
        Unlike PyTorch, indices count from 1; the index is an i32 tensor in the result's shape.

            x:gather(2, lv.tensor({ { 1 }, { 3 } }, { dtype = "i32" }))

        @param index lunerv.Tensor  i32, in the shape of the result
        """
    ) { (x: Tensor, d: Int, index: Tensor) in
      try x.gathered(dimension(d, x, "gather"), index)
    }
    s.pure(
      "scatter", params: ["dim", "index", "source"],
      doc: """
        x with source[…, i, …] written to […, index[…, i, …], …] along a dimension; gather reads it.
        Unlike PyTorch, indices count from 1, and if one repeats, only the last number is kept and
        has a gradient.

            lv.zeros(2, 5):scatter(2, places, 1)

        @param index lunerv.Tensor  i32, at most as large as x in the other dimensions
        @param source lunerv.Tensor|number  at least as large as the index, or one number
        """
    ) { (x: Tensor, d: Int, index: Tensor, source: Operand) -> Tensor in
      try x.scattered(dimension(d, x, "scatter"), index, spread(source, x, index))
    }
    s.pure(
      "scatter_add", params: ["dim", "index", "source"],
      doc: """
        x with source[…, i, …] added at […, index[…, i, …], …] along a dimension.
        Unlike PyTorch, indices count from 1. Sums are formed in the index's order, to the same bits
        however many threads there are; a sum of integers that does not fit is an error.

            local histogram = lv.zeros(256):scatter_add(1, levels, lv.ones(levels:numel()))

        @param index lunerv.Tensor  i32, at most as large as x in the other dimensions
        @param source lunerv.Tensor|number  at least as large as the index, or one number
        """
    ) { (x: Tensor, d: Int, index: Tensor, source: Operand) -> Tensor in
      try x.scatterAdded(dimension(d, x, "scatter_add"), index, spread(source, x, index))
    }
  }

  /// A number in the shape of the index.
  private static func spread(_ source: Operand, _ x: Tensor, _ index: Tensor) throws -> Tensor {
    switch source {
    case .tensor(let t): t
    case .number(let n): try Tensor.full(n, index.shape, x.dtype)
    }
  }

  /// Entries of a dimension: a list of numbers, or an i32 tensor.
  private enum Entries: LuaArgument {
    case list([Int])
    case tensor(Tensor)

    static var luaTypeName: String { "tensor or table" }

    static func read(_ L: LuaStack, at index: Int32) throws(LuaTypeMismatch) -> Entries {
      if L.type(at: index) == .userdata { return .tensor(try Tensor.read(L, at: index)) }
      if L.type(at: index) == .table { return .list(try [Int].read(L, at: index)) }
      throw LuaTypeMismatch(expected: luaTypeName)
    }
  }

  private static func slices(_ s: TensorSurface) {
    s.pure(
      "index_select", params: ["dim", "index"],
      doc: """
        The slices of a dimension that an index names, in its order.
        Unlike PyTorch, indices count from 1, and may be a table.

            x:index_select(1, { 3, 1, 1 })
            x:index_select(2, x:sum(1):argsort())

        @param index integer[]|lunerv.Tensor  entries of the dimension; negatives count from the end
        """
    ) { (x: Tensor, d: Int, index: Entries) -> Tensor in
      let d = try dimension(d, x, "index_select")
      switch index {
      case .tensor(let index): return try x.selected(d, index)
      case .list(let list):
        return try x.selected(
          d, list.map { try position($0, count: x.shape[d], "index_select") })
      }
    }
    s.pure(
      "index_add", params: ["dim", "index", "source"],
      doc: """
        x with the slices of source added at the entries of a dimension that an index names.
        Unlike PyTorch, indices count from 1, and may be a table. Sums are formed in the index's order,
        to the same bits however many threads there are.

            local sums = lv.zeros(10, 64):index_add(1, class, features)

        @param index integer[]|lunerv.Tensor  one for each slice of source
        @param source lunerv.Tensor  in the shape of x but for that dimension
        """
    ) { (x: Tensor, d: Int, index: Entries, source: Tensor) -> Tensor in
      let d = try dimension(d, x, "index_add")
      switch index {
      case .tensor(let index): return try x.addingSlices(d, index, source)
      case .list(let list):
        let numbers = try list.map { Double(try position($0, count: x.shape[d], "index_add") + 1) }
        return try x.addingSlices(d, Tensor.from(numbers, [numbers.count], .i32), source)
      }
    }
  }

  private struct Classes: LuaOptions {
    var dtype = DType.f32
    static var luaFields: [LuaField<Classes>] {
      [LuaField("dtype", \.dtype, doc: "of the result (f32)")]
    }
  }

  private static func classes(_ s: TensorSurface) {
    s.pure(
      "one_hot", params: ["classes", "options"],
      doc: """
        One-hot vectors in a new last dimension: 1 at the class that each element of an i32 tensor
        names, 0 elsewhere.
        Unlike PyTorch, classes count from 1, as what argmax gives, and the result is f32 unless
        `dtype` says otherwise.

            lv.tensor({ 2, 1 }, { dtype = "i32" }):one_hot(3)   -- { { 0, 1, 0 }, { 1, 0, 0 } }

        @param classes? integer  size of the new dimension; the largest number by default
        """
    ) { (x: Tensor, classes: Int?, o: Classes) in try x.oneHot(classes, o.dtype) }
  }
}
