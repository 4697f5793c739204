import LuaBridge
import Support
import Tensors

/// Operators of layers, and losses.
enum LayerModule {
  private struct Norm: LuaOptions {
    var eps: Double?
    var dim: Int?
    static var luaFields: [LuaField<Norm>] {
      [
        LuaField("eps", \.eps, doc: "what is added to the variance (1e-6)"),
        LuaField("dim", \.dim, doc: "the dimension that is normalised (2, the channels)"),
      ]
    }
  }
  private struct InstanceNorm: LuaOptions {
    var eps = 1e-5
    static var luaFields: [LuaField<InstanceNorm>] {
      [LuaField("eps", \.eps, doc: "what is added to the variance")]
    }
  }
  private struct Encoding: LuaOptions {
    var float = false
    static var luaFields: [LuaField<Encoding>] {
      [LuaField("float", \.float, doc: "whether t is rounded to f32 first")]
    }
  }

  static func define(_ s: TensorSurface) {
    products(s)
    images(s)
    norms(s)
    positions(s)
    losses(s)
  }

  private static func products(_ s: TensorSurface) {
    s.pure(
      "matmul", params: ["y"],
      doc: """
        The matrix product (…, m, k)·(…, k, n) → (…, m, n); leading sizes are broadcast.
        Unlike PyTorch, both have at least two dimensions: `:unsqueeze` makes a matrix of a vector.

            a:matmul(b)
        """
    ) { (x: Tensor, y: Tensor) in try x.matmul(y) }
    s.pure(
      "linear", params: ["weight", "bias"],
      doc: """
        x·weightᵀ + bias over the last dimension: (…, inputs) → (…, outputs).
        weight is (outputs, inputs), bias (outputs).

            x:linear(weight, bias)
        """
    ) { (x: Tensor, w: Tensor, b: Tensor?) in try x.linear(w, b) }
  }

  private static func images(_ s: TensorSurface) {
    s.pure(
      "pixel_shuffle", params: ["s"],
      doc: """
        (n, c·s², h, w) → (n, c, h·s, w·s): channels become pixels (arXiv 1609.05158).
        Channel c·s² + a·s + b goes to row a and column b of each s×s square, as in PyTorch.

            lv.zeros(1, 12, 4, 4):pixel_shuffle(2)   -- (1, 3, 8, 8)
        """
    ) { (x: Tensor, f: Int) in try x.pixelShuffled(f) }
    s.pure(
      "pixel_unshuffle", params: ["s"],
      doc: """
        (n, c, h·s, w·s) → (n, c·s², h, w): the inverse of pixel_shuffle.

            lv.zeros(1, 3, 8, 8):pixel_unshuffle(2)   -- (1, 12, 4, 4)
        """
    ) { (x: Tensor, f: Int) in try x.pixelUnshuffled(f) }
    s.pure(
      "rfft2",
      doc: """
        The spectrum of the last two dimensions: (…, h, w) → (…, h, ⌊w/2⌋ + 1, 2).
        Unlike PyTorch, real and imaginary part are a last dimension of 2. It is not normalised, and
        holds only the half that is not redundant.

            local spectrum = image:rfft2()
        """
    ) { (x: Tensor) in try x.fourierTransformed() }
  }

  private static func norms(_ s: TensorSurface) {
    s.pure(
      "layer_norm", params: ["weight", "bias", "options"],
      doc: """
        LayerNorm over one dimension: mean 0 and variance 1, then ·weight + bias (arXiv 1607.06450).
        Unlike PyTorch, it is over dimension 2, the channels of an image, and eps is 1e-6, as in
        ConvNeXt (arXiv 2201.03545). weight and bias have the size of that dimension, or are nil.

            x:layer_norm(weight, bias)
            x:layer_norm(nil, nil, { dim = -1, eps = 1e-5 })   -- as PyTorch's
        """
    ) { (x: Tensor, w: Tensor?, b: Tensor?, o: Norm) in
      try x.layerNorm(w, b, dim: dimension(o.dim ?? 2, x, "layer_norm"), epsilon: o.eps ?? 1e-6)
    }
    s.pure(
      "instance_norm", params: ["options"],
      doc: """
        Instance normalisation: each channel of (n, c, h, w) gets mean 0 and variance 1 over its
        pixels (arXiv 1607.08022).
        The variance is divided by the number of pixels; there is no weight and no bias.

            x:instance_norm()
        """
    ) { (x: Tensor, o: InstanceNorm) in try x.instanceNorm(epsilon: o.eps) }
    s.pure(
      "softmax", params: ["dim"],
      doc: """
        The softmax along a dimension: eˣ divided by the sum of eˣ.

            scores:softmax(-1)
        """
    ) { (x: Tensor, d: Int) in try x.softmax(dimension(d, x, "softmax")) }
  }

  private static func positions(_ s: TensorSurface) {
    s.module.pure(
      "position_encoding", params: ["t", "bases", "options"],
      doc: """
        Sines, then cosines of t·base for every base: (n, 2·bases) (NeRV, arXiv 2110.13903).
        Products, sines and cosines are computed in f64, so that neighbouring frames of long clips
        differ.

            lv.position_encoding({ 0, 0.5 }, lv.tensor { math.pi, 2 * math.pi })   -- (2, 4)

        @param t number|number[]  one time or a list of n
        @param bases lunerv.Tensor  factors, in one dimension
        """
    ) { (t: Numbers, bases: Tensor, o: Encoding) in
      try positionEncoding(t.numbers, bases: bases, narrow: o.float)
    }
  }

  private static func losses(_ s: TensorSurface) {
    s.op(
      "l1_loss", params: ["y"],
      doc: """
        The mean of |x − y|, a scalar; shapes agree.

            local loss = lv.l1_loss(model(t), frame)
        """
    ) { (x: Tensor, y: Tensor) in try x.l1Loss(y) }
    s.op(
      "mse_loss", params: ["y"],
      doc: """
        The mean of (x − y)², a scalar; shapes agree.

            local loss = lv.mse_loss(model(t), frame)
        """
    ) { (x: Tensor, y: Tensor) in try x.mseLoss(y) }
    s.op(
      "ssim", params: ["y"],
      doc: """
        The structural similarity of images (n, c, h, w) in [0, 1], a scalar: 1 if they are equal
        (Wang et al., IEEE TIP 13(4), 2004).
        The window is 11×11 with σ = 1.5, smaller where the short side is below 11. Images
        have at least 5 pixels per side.

            local loss = 1 - lv.ssim(model(t), frame)
        """
    ) { (x: Tensor, y: Tensor) in try x.ssim(y) }
    s.op(
      "ms_ssim", params: ["y"],
      doc: """
        The structural similarity of images (n, c, h, w) in [0, 1] over five scales, a scalar
        (Wang et al., Asilomar 2003).
        Where the short side is 160 or less, the window and the number of scales shrink to fit.

            local loss = 1 - lv.ms_ssim(model(t), frame)
        """
    ) { (x: Tensor, y: Tensor) in try x.msSsim(y) }
    s.op(
      "freq_loss", params: ["y"],
      doc: """
        The mean absolute difference of two spectra, over real and imaginary parts, a scalar
        (arXiv 2402.18152).
        The spectra are full, unnormalised 2-D Fourier transforms of the last two dimensions.

            local loss = 60 * lv.l1_loss(x, y) + lv.freq_loss(x, y)
        """
    ) { (x: Tensor, y: Tensor) in try x.frequencyLoss(y) }
  }
}
