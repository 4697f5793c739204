import LuaBridge
import Support
import Tensors

/// Operators of layers, and losses.
enum LayerModule {
  private struct Convolution: LuaOptions {
    var stride = 1
    var padding = 0
    var groups = 1
    static var luaFields: [LuaField<Convolution>] {
      [
        LuaField("stride", \.stride), LuaField("padding", \.padding), LuaField("groups", \.groups),
      ]
    }
  }
  private struct Norm: LuaOptions {
    var eps: Double?
    var dim: Int?
    static var luaFields: [LuaField<Norm>] { [LuaField("eps", \.eps), LuaField("dim", \.dim)] }
  }
  private struct InstanceNorm: LuaOptions {
    var eps = 1e-5
    static var luaFields: [LuaField<InstanceNorm>] { [LuaField("eps", \.eps)] }
  }
  private struct Encoding: LuaOptions {
    var float = false
    static var luaFields: [LuaField<Encoding>] { [LuaField("float", \.float)] }
  }

  static func define(_ s: TensorSurface) {
    s.pure(
      "matmul", params: ["y"], doc: "(…, m, k)·(…, k, n) → (…, m, n); leading sizes broadcast."
    ) {
      (x: Tensor, y: Tensor) in try x.matmul(y)
    }
    s.pure("linear", params: ["weight", "bias"], doc: "x·weightᵀ + bias; weight is (out, in).") {
      (x: Tensor, w: Tensor, b: Tensor?) in try x.linear(w, b)
    }
    s.pure(
      "conv2d", params: ["weight", "bias", "options"],
      doc: "Convolution of (N, I, H, W) with (O, I/groups, kh, kw); stride, padding, groups."
    ) { (x: Tensor, w: Tensor, b: Tensor?, o: Convolution) in
      try x.conv2d(w, b, stride: o.stride, padding: o.padding, groups: o.groups)
    }
    s.pure(
      "pixel_shuffle", params: ["s"],
      doc:
        "(N, C·s², H, W) → (N, C, H·s, W·s), channel c·s²+a·s+b to row offset a, column offset b."
    ) { (x: Tensor, f: Int) in try x.pixelShuffled(f) }
    s.pure("pixel_unshuffle", params: ["s"], doc: "The inverse of pixel_shuffle.") {
      (x: Tensor, f: Int) in try x.pixelUnshuffled(f)
    }
    s.pure(
      "layer_norm", params: ["weight", "bias", "options"],
      doc: "LayerNorm over dimension options.dim (2, the channels); options.eps is 1e-6."
    ) { (x: Tensor, w: Tensor?, b: Tensor?, o: Norm) in
      try x.layerNorm(w, b, dim: dimension(o.dim ?? 2, x, "layer_norm"), epsilon: o.eps ?? 1e-6)
    }
    s.pure(
      "instance_norm", params: ["options"],
      doc: "Every channel of (N, C, H, W) over its pixels, biased variance, eps 1e-5."
    ) { (x: Tensor, o: InstanceNorm) in try x.instanceNorm(epsilon: o.eps) }
    s.pure("softmax", params: ["dim"], doc: "eˣ over a dimension, summing to 1.") {
      (x: Tensor, d: Int) in try x.softmax(dimension(d, x, "softmax"))
    }
    s.pure("avg_pool2d", params: ["size"], doc: "2×2 means with stride 2.") {
      (x: Tensor, size: Int) -> Tensor in
      guard size == 2 else {
        throw LunervError(.argument, "avg_pool2d: expected a size of 2, got \(size)")
      }
      return try x.averagePooled()
    }
    s.pure("rfft2", doc: "(…, H, W) → (…, H, ⌊W/2⌋+1, 2): the unnormalised 2-D spectrum.") {
      (x: Tensor) in try x.fourierTransformed()
    }
    s.module.pure(
      "position_encoding", params: ["t", "bases", "options"],
      doc: "(n, 2L): sines, then cosines of t·base, formed in Double; float rounds t to fp32 first."
    ) { (t: Numbers, bases: Tensor, o: Encoding) in
      try positionEncoding(t.numbers, bases: bases, narrow: o.float)
    }
    s.op("l1_loss", params: ["y"], doc: "Mean |x − y|.") { (x: Tensor, y: Tensor) in
      try x.l1Loss(y)
    }
    s.op("mse_loss", params: ["y"], doc: "Mean (x − y)².") { (x: Tensor, y: Tensor) in
      try x.mseLoss(y)
    }
    s.op("ssim", params: ["y"], doc: "Structural similarity of images, range 1.") {
      (x: Tensor, y: Tensor) in try x.ssim(y)
    }
    s.op("ms_ssim", params: ["y"], doc: "Multi-scale structural similarity of images, range 1.") {
      (x: Tensor, y: Tensor) in try x.msSsim(y)
    }
    s.op("freq_loss", params: ["y"], doc: "Mean |Δ| of the parts of the unnormalised spectra.") {
      (x: Tensor, y: Tensor) in try x.frequencyLoss(y)
    }
  }
}
