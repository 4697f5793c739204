import LuaBridge
import Support
import Tensors

// Shapes: other sizes over the same elements, parts, and joined tensors. The result is a new value
// through which gradients flow; writing to it is an error.

extension TensorModule {
  static func shapes(_ s: TensorSurface) {
    sizes(s)
    orders(s)
    parts(s)
  }

  private static func sizes(_ s: TensorSurface) {
    s.pure(
      "view", params: ["sizes…"],
      doc: """
        The same elements under other sizes, one of which may be -1.
        Unlike PyTorch, every tensor has every view: elements are taken in order, whatever the memory layout.

            lv.arange(1, 6):view(2, -1)   -- { { 1, 2, 3 }, { 4, 5, 6 } }

        @param ... integer|integer[]  the sizes, as arguments or in one table
        """
    ) { (x: Tensor, sizes: Sizes) in x.giving(try x.viewed(sizes.shape), as: ":view") }
    s.pure(
      "reshape", params: ["sizes…"],
      doc: """
        The same elements under other sizes, one of which may be -1; as `:view`.

            lv.arange(1, 6):reshape({ 3, 2 })

        @param ... integer|integer[]  the sizes, as arguments or in one table
        """
    ) { (x: Tensor, sizes: Sizes) in
      x.giving(try x.viewed(sizes.shape, as: "reshape"), as: ":reshape")
    }
    s.pure(
      "flatten", params: ["first", "last"],
      doc: """
        Dimensions first to last as one; all of them by default.

            lv.zeros(2, 3, 4):flatten()       -- (24)
            lv.zeros(2, 3, 4):flatten(2)      -- (2, 12)

        @param first? integer  the first of them (1)
        @param last? integer  the last of them (-1)
        """
    ) { (x: Tensor, first: Int?, last: Int?) -> Tensor in
      if x.shape.isEmpty, first == nil, last == nil {
        return x.giving(try x.viewed([1], as: "flatten"), as: ":flatten")
      }
      let (from, to) = (
        try dimension(first ?? 1, x, "flatten"), try dimension(last ?? -1, x, "flatten")
      )
      guard from <= to else {
        throw LunervError(
          .argument, "flatten: expected dimensions in order, got \(from + 1) and \(to + 1)")
      }
      let merged = x.shape[from...to].reduce(1, *)
      return x.giving(
        try x.viewed(x.shape[..<from] + [merged] + x.shape[(to + 1)...], as: "flatten"),
        as: ":flatten")
    }
    s.pure(
      "unsqueeze", params: ["dim"],
      doc: """
        A new dimension of size 1.

            lv.zeros(2, 3):unsqueeze(1)    -- (1, 2, 3)
            lv.zeros(2, 3):unsqueeze(-1)   -- (2, 3, 1)
        """
    ) { (x: Tensor, d: Int) -> Tensor in
      var shape = x.shape
      shape.insert(1, at: try dimension(d, rank: shape.count + 1, "unsqueeze"))
      return x.giving(try x.viewed(shape), as: ":unsqueeze")
    }
    s.pure(
      "squeeze", params: ["dim"],
      doc: """
        A dimension of size 1 dropped.
        Unlike PyTorch, the dimension is named, and another size than 1 is an error.

            lv.zeros(1, 3):squeeze(1)   -- (3)
        """
    ) { (x: Tensor, d: Int) -> Tensor in
      let d = try dimension(d, x, "squeeze")
      var shape = x.shape
      guard shape[d] == 1 else {
        throw LunervError(.argument, "squeeze: dimension \(d + 1) has size \(shape[d]), not 1")
      }
      shape.remove(at: d)
      return x.giving(try x.viewed(shape), as: ":squeeze")
    }
    s.pure(
      "expand", params: ["sizes…"],
      doc: """
        Repeats sizes of 1, without a copy until they are read; new dimensions come first.

            lv.tensor { 1, 2 }:expand(3, 2)

        @param ... integer|integer[]  the sizes, as arguments or in one table
        """
    ) { (x: Tensor, sizes: Sizes) in x.giving(try x.expanded(to: sizes.shape), as: ":expand") }
  }

  private static func orders(_ s: TensorSurface) {
    s.pure(
      "permute", params: ["dims…"],
      doc: """
        The dimensions in another order.

            image:permute(1, 3, 4, 2)   -- channels last

        @param ... integer|integer[]  each dimension once, as arguments or in one table
        """
    ) { (x: Tensor, dims: Sizes) in
      x.giving(try x.permuted(dims.shape.map { try dimension($0, x, "permute") }), as: ":permute")
    }
    func exchanged(_ x: Tensor, _ a: Int, _ b: Int) throws -> Tensor {
      var order = Array(x.shape.indices)
      order.swapAt(a, b)
      return try x.permuted(order)
    }
    s.pure(
      "transpose", params: ["a", "b"],
      doc: """
        Two dimensions exchanged.

            x:transpose(1, 2)
        """
    ) { (x: Tensor, a: Int, b: Int) -> Tensor in
      x.giving(
        try exchanged(x, dimension(a, x, "transpose"), dimension(b, x, "transpose")),
        as: ":transpose")
    }
    s.method(
      "t",
      doc: """
        The transpose of a matrix.

            w:t():matmul(w)
        """
    ) { (x: Tensor) -> Tensor in
      guard x.shape.count == 2 else {
        throw LunervError(
          .argument, "t: expected a tensor of 2 dimensions, got \(x.shape.count) (use :transpose)")
      }
      return x.giving(try exchanged(x, 0, 1), as: ":t")
    }
  }

  private static func parts(_ s: TensorSurface) {
    s.pure(
      "slice", params: ["dim", "first", "last"],
      doc: """
        Entries first to last of a dimension, both included.
        `x[{ {}, { first, last } }]` is the same for dimension 2.

            x:slice(2, 1, 3)
            x:slice(1, -2, -1)   -- the last two
        """
    ) { (x: Tensor, d: Int, first: Int, last: Int) in
      let d = try dimension(d, x, "slice")
      let (first, last) = (
        try position(first, count: x.shape[d], "slice"),
        try position(last, count: x.shape[d], "slice")
      )
      return x.giving(try x.sliced(d, first, last), as: ":slice")
    }
    s.pure(
      "select", params: ["dim", "i"],
      doc: """
        One entry of a dimension, which is dropped.
        `x[i]` is the same for dimension 1.

            x:select(2, -1)   -- the last column
        """
    ) { (x: Tensor, d: Int, i: Int) -> Tensor in
      let d = try dimension(d, x, "select")
      let i = try position(i, count: x.shape[d], "select")
      var shape = x.shape
      shape.remove(at: d)
      return x.giving(try x.sliced(d, i, i).viewed(shape), as: ":select")
    }
  }

  static func joining(_ s: TensorSurface) {
    s.module.pure(
      "cat", params: ["tensors", "dim"],
      doc: """
        Tensors joined along a dimension, 1 by default; the other sizes and the dtype agree.

            lv.cat({ a, b }, 2)

        @param tensors lunerv.Tensor[]  at least one
        """
    ) { (list: [Tensor], d: Int?) -> Tensor in
      guard let first = list.first else {
        throw LunervError(.argument, "cat: expected at least one tensor")
      }
      return try Tensor.concatenated(list, dimension(d ?? 1, first, "cat"))
    }
    s.module.pure(
      "stack", params: ["tensors", "dim"],
      doc: """
        Tensors of one shape along a new dimension, 1 by default.

            lv.stack({ a, b })   -- (2, …)

        @param tensors lunerv.Tensor[]  at least one
        """
    ) { (list: [Tensor], d: Int?) -> Tensor in
      guard let first = list.first else {
        throw LunervError(.argument, "stack: expected at least one tensor")
      }
      let d = try dimension(d ?? 1, rank: first.shape.count + 1, "stack")
      return try Tensor.concatenated(
        list.map {
          guard $0.shape == first.shape else {
            let shapes = [first, $0].map { tensor in
              "(\(tensor.shape.map(String.init).joined(separator: ", ")))"
            }
            throw LunervError(
              .argument, "stack: expected tensors of one shape, got \(shapes[0]) and \(shapes[1])")
          }
          var shape = $0.shape
          shape.insert(1, at: d)
          return try $0.viewed(shape)
        }, d)
    }
  }
}
