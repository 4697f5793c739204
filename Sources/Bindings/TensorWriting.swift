import LuaBridge
import Support
import Tensors

// Writing a whole tensor in place. `x[…] = y` writes parts.

extension TensorModule {
  static func writing(_ s: TensorSurface, _ session: Session) {
    filling(s, session)
    s.module.define(
      "settle", params: ["x"],
      doc: "Allows writing to a tensor that was taken from another, for a module's state."
    ) { (x: Tensor) -> Tensor in
      x.settle()
      return x
    }
    func inPlace(_ x: Tensor, _ name: String, _ value: (Tensor) throws -> Tensor) throws -> Tensor {
      try x.assign(value(x.detach()), as: name)
      return x
    }
    s.op(
      "copy_", params: ["other"],
      doc: """
        Takes over the elements of a tensor of the same shape and dtype.
        Unlike PyTorch, no gradient flows to `other`: for that, assign `x[{}] = other`. A parameter is
        written inside `lv.no_grad` alone.

            lv.no_grad(function() weight:copy_(other) end)
        """
    ) { (x: Tensor, other: Tensor) in
      try inPlace(x, "copy_") { _ in try other.detach().clone() }
    }
    s.op(
      "add_", params: ["y", "alpha"],
      doc: """
        x + alpha·y in place; alpha is 1.
        Unlike PyTorch, y counts as a constant here and in `sub_`, `mul_`, `div_` and `clamp_`: no
        gradient flows through what they write.

            average:mul_(0.99):add_(weight, 0.01)

        @param y lunerv.Tensor|number  is broadcast to the shape of x
        """
    ) { (x: Tensor, y: Operand, alpha: Double?) in
      try inPlace(x, "add_") {
        try $0.adding(y.tensor(like: $0).detach().multiplied(by: alpha ?? 1))
      }
    }
    s.op(
      "sub_", params: ["y", "alpha"],
      doc: """
        x − alpha·y in place; alpha is 1.

            lv.no_grad(function() weight:sub_(weight.grad, 0.1) end)

        @param y lunerv.Tensor|number  is broadcast to the shape of x
        """
    ) { (x: Tensor, y: Operand, alpha: Double?) in
      try inPlace(x, "sub_") {
        try $0.subtracting(y.tensor(like: $0).detach().multiplied(by: alpha ?? 1))
      }
    }
    s.op(
      "mul_", params: ["y"],
      doc: """
        x·y in place.

            x:mul_(0.5)

        @param y lunerv.Tensor|number  is broadcast to the shape of x
        """
    ) { (x: Tensor, y: Operand) in
      try inPlace(x, "mul_") { try $0.multiplied(by: y.tensor(like: $0).detach()) }
    }
    s.op(
      "div_", params: ["y"],
      doc: """
        x/y in place, of f32 and f64.

            x:div_(255)

        @param y lunerv.Tensor|number  is broadcast to the shape of x
        """
    ) { (x: Tensor, y: Operand) in
      try inPlace(x, "div_") { try $0.divided(by: y.tensor(like: $0).detach()) }
    }
    s.op(
      "clamp_", params: ["min", "max"],
      doc: """
        min(max(x, min), max) in place.

            x:clamp_(0, 1)

        @param min? number|table  the lower bound, or options min and max
        """
    ) { (x: Tensor, low: Form<Double, Clamp>, high: Double?) in
      let (low, high) = try bounds(low, high, "clamp_")
      return try inPlace(x, "clamp_") { try $0.clamped(low, high) }
    }
  }

  private static func filling(_ s: TensorSurface, _ session: Session) {
    s.op(
      "uniform_", params: ["lo", "hi"],
      doc: """
        Fills with uniform draws from [lo, hi).

            weight:uniform_(-0.1, 0.1)
        """
    ) { (x: Tensor, lo: Double, hi: Double) -> Tensor in
      try x.fillUniform(&session.random, lo: lo, hi: hi)
      return x
    }
    s.op(
      "normal_", params: ["mean", "std"],
      doc: """
        Fills with normal draws.

            weight:normal_(0, 0.02)
        """
    ) { (x: Tensor, mean: Double, std: Double) -> Tensor in
      try x.fillNormal(&session.random, mean: mean, deviation: std)
      return x
    }
    s.op(
      "trunc_normal_", params: ["std"],
      doc: """
        Fills with normal draws of mean 0, those beyond ±2 drawn again.

            weight:trunc_normal_(0.02)
        """
    ) { (x: Tensor, std: Double) -> Tensor in
      try x.fillNormal(&session.random, mean: 0, deviation: std, bound: 2)
      return x
    }
    s.op(
      "fill_", params: ["value"],
      doc: """
        Sets every element.

            x:fill_(1)
        """
    ) { (x: Tensor, v: Double) -> Tensor in
      try x.assign(Tensor.full(v, x.shape, x.dtype), as: "fill_")
      return x
    }
    s.op(
      "zero_",
      doc: """
        Sets every element to 0.

            x:zero_()
        """
    ) { (x: Tensor) -> Tensor in
      try x.assign(Tensor.full(0, x.shape, x.dtype), as: "zero_")
      return x
    }
  }
}
