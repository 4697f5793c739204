import LuaBridge
import Support
import Tensors

// Reading a tensor: properties, sizes, its numbers, its text.

extension TensorModule {
  /// Elements as nested tables, pushed as they are read.
  private struct Nested: LuaResult {
    let shape: [Int]
    let elements: TensorElements
    let integral: Bool

    init(_ x: Tensor) throws {
      // An element of a table takes as long as this many numbers of a tensor.
      try Work.charge(x.count, 32)
      (shape, elements) = (x.shape, try x.readElements())
      integral = x.dtype != .f32 && x.dtype != .f64
    }

    func push(to stack: LuaStack) {
      var next = 0
      push(to: stack, 0, &next)
    }

    private func push(to stack: LuaStack, _ depth: Int, _ next: inout Int) {
      if depth == shape.count {
        if integral { stack.push(Int(elements[next])) } else { stack.push(elements[next]) }
        next += 1
        return
      }
      guard stack.pushTable(elements: shape[depth]) else { return }
      for position in 0..<shape[depth] {
        if stack.isOverLimit { break }
        push(to: stack, depth + 1, &next)
        stack.setElement(position + 1)
      }
    }
  }

  private static func preview(_ t: Tensor) throws -> String {
    let head = "tensor \(t.dtype.rawValue) (\(t.shape.map(String.init).joined(separator: ", ")))"
    if t.count == 0 { return head }
    let few = try t.first(t.count > 8 ? 6 : 8)
    let isIntegral = t.dtype != .f32 && t.dtype != .f64
    func short(_ v: Double) -> String {
      if v == v.rounded(), abs(v) < (isIntegral ? 0x1p53 : 1e6) { return String(Int(v)) }
      if !v.isFinite { return "\(v)" }
      let digits = abs(v) >= 1e-3 && abs(v) < 1e6 ? 1e4 : 0
      if digits > 0 { return "\((v * digits).rounded() / digits)" }
      return t.dtype == .f64 ? "\(v)" : "\(Float(v))"
    }
    return head + ": " + few.map(short).joined(separator: " ") + (t.count > 8 ? " …" : "")
  }

  static func reading(_ s: TensorSurface) {
    properties(s)
    s.tensors.meta("__len") { (x: Tensor) -> Int in
      try Work.charge(Work.call)
      return x.shape.first ?? 0
    }
    s.tensors.meta("__tostring") { (x: Tensor) -> String in try preview(x) }
    s.pure(
      "size", params: ["dim"],
      doc: """
        One size, or all of them as separate results.
        Unlike PyTorch, dimensions count from 1; -1 is the last.

            local n, channels, height, width = x:size()
            local last = x:size(-1)

        @return integer  the size of `dim`, or every size as a result of its own
        """
    ) { (x: Tensor, d: Int?) -> LuaResults in
      if let d { return LuaResults(x.shape[try dimension(d, x, "size")]) }
      return LuaResults(list: x.shape.map { $0 })
    }
    s.pure(
      "dim",
      doc: """
        How many dimensions.

            lv.zeros(2, 3):dim()   -- 2
        """
    ) { (x: Tensor) -> Int in x.shape.count }
    s.pure(
      "numel",
      doc: """
        How many elements.

            lv.zeros(2, 3):numel()   -- 6
        """
    ) { (x: Tensor) -> Int in x.count }
    s.pure(
      "item",
      doc: """
        The number in a tensor of one element.
        More or fewer elements are an error.

            local loss = x:mean():item()

        @return number  an integer for i32, u8 and bool
        """
    ) { (x: Tensor) -> LuaValue in
      let v = try x.item()
      return x.dtype == .f32 || x.dtype == .f64 ? .number(v) : .int(Int(v))
    }
    s.pure(
      "tolist",
      doc: """
        The elements as nested tables; a number for a tensor without dimensions.

            lv.eye(2):tolist()   -- { { 1, 0 }, { 0, 1 } }

        @return table|number  integers for i32, u8 and bool
        """
    ) { (x: Tensor) -> Nested in try Nested(x) }
    // A parameter remains one if there is nothing to convert.
    s.op(
      "to", params: ["dtype"],
      doc: """
        The same numbers in another dtype: f32, f64, i32, u8 or bool.
        Unlike PyTorch, it is never implicit: operands of different dtypes are an error.
        The fraction is cut off for an integer, a number beyond its range is an error;
        bool is 1 where the number is not 0. Gradients pass between f32 and f64.

            local pixels = clip:frame_u8(1):to("f32") / 255
        """
    ) { (x: Tensor, d: DType) in try x.cast(to: d) }
    s.module.markPure("to")
    s.pure(
      "detach",
      doc: """
        The same value, detached from its graph: no gradient flows through it.
        Writing to it is an error: change a `:clone()`.

            local target = model(x):detach()
        """
    ) { (x: Tensor) in x.giving(x.detach(), as: ":detach") }
    s.pure(
      "clone",
      doc: """
        A copy with memory of its own, through which gradients flow.

            local before = weight:detach():clone()
        """
    ) { (x: Tensor) in try x.clone() }
    s.method(
      "contiguous",
      doc: """
        The tensor itself.
        Unlike PyTorch, the memory layout does not matter to callers: every operator takes every
        tensor.

            x:transpose(1, 2):contiguous():view(-1)
        """
    ) { (x: Tensor) -> Tensor in x }
    s.op(
      "evaluate",
      doc: """
        Computes the value now, and returns the tensor.
        Unlike PyTorch, pointwise operators and convolutions are deferred until their result is read,
        and are then computed together. Results do not depend on this; timings do.

            local y = model(x):evaluate()
        """
    ) { (x: Tensor) -> Tensor in
      try x.materialise()
      return x
    }
    s.module.markPure("evaluate")
    s.pure(
      "is_finite",
      doc: """
        Whether all elements are finite.
        Unlike PyTorch (`isfinite`), it is one boolean for the whole tensor.

            assert(loss:is_finite())
        """
    ) { (x: Tensor) -> Bool in
      guard x.dtype == .f32 || x.dtype == .f64 else { return true }
      // x − x is 0 unless x is infinite or NaN.
      let d = x.detach()
      return try d.subtracting(d).sum().item() == 0
    }
  }

  private static func properties(_ s: TensorSurface) {
    s.property(
      "shape",
      doc: """
        The sizes, as a new table.

            lv.zeros(2, 3).shape   -- { 2, 3 }

        @return integer[]
        """
    ) { $0.shape }
    s.property("dtype", doc: "The type of the elements: f32, f64, i32, u8 or bool.") { $0.dtype }
    s.property(
      "grad",
      doc: """
        The gradient that backward has accumulated, or nil.
        Only nil can be assigned, which clears it.

            weight.grad = nil

        @return lunerv.Tensor|nil
        """,
      get: { (x: Tensor) -> Tensor? in x.grad },
      set: { (x: Tensor, g: Tensor?) in
        guard g == nil else { throw LunervError(.argument, "grad: only nil can be assigned") }
        x.clearGrad()
      })
    s.property(
      "requires_grad",
      doc: """
        Whether gradients flow to this tensor.
        It can be assigned on f32 and f64 tensors that were not computed.

            x.requires_grad = true
        """,
      get: { (x: Tensor) -> Bool in x.requiresGrad },
      set: { (x: Tensor, on: Bool) in try x.setRequiresGrad(on) })
    s.property(
      "is_leaf", doc: "Whether it was not computed from tensors that require a gradient.",
      get: { (x: Tensor) -> Bool in x.isLeaf })
  }
}
