import LuaBridge
import Support
import Tensors

/// Normalisations over batches and groups for Lua, and dropout.
enum NormModule {
  private struct Epsilon: LuaOptions {
    var eps = 1e-5
    static var luaFields: [LuaField<Epsilon>] {
      [LuaField("eps", \.eps, doc: "what is added to the variance")]
    }
  }

  private struct OfVectors: LuaOptions {
    var dim: Int?
    var eps = 1e-6
    static var luaFields: [LuaField<OfVectors>] {
      [
        LuaField("dim", \.dim, doc: "the dimension that is normalised (2, the channels)"),
        LuaField("eps", \.eps, doc: "what is added to the mean of squares"),
      ]
    }
  }

  private struct Training: LuaOptions {
    var training = true
    static var luaFields: [LuaField<Training>] {
      [LuaField("training", \.training, doc: "whether anything is dropped")]
    }
  }

  static func define(_ s: TensorSurface, _ session: Session) {
    s.pure(
      "batch_norm", params: ["mean", "variance", "weight", "bias", "options"],
      doc: """
        (x − mean)/√(variance + eps)·weight + bias for each channel of (n, channels, …)
        (arXiv 1502.03167).
        Unlike PyTorch, there is no training flag: without mean and variance, those of the batch are
        used, with the number of elements as divisor; only nn.BatchNorm2d updates running
        statistics. Gradients flow to all tensors given. mean, variance, weight and bias are
        (channels) or nil.

            x:batch_norm(nil, nil, weight, bias)                       -- as in training
            x:batch_norm(norm.running_mean, norm.running_var, weight, bias)
        """
    ) { (x: Tensor, mean: Tensor?, variance: Tensor?, w: Tensor?, b: Tensor?, o: Epsilon) in
      try x.batchNorm(mean: mean, variance: variance, w, b, epsilon: o.eps)
    }
    s.pure(
      "group_norm", params: ["groups", "weight", "bias", "options"],
      doc: """
        Mean 0 and variance 1 over each group of channels of (n, channels, …), then ·weight + bias
        (arXiv 1803.08494).
        weight and bias have shape (channels) or are nil.

            x:group_norm(8, weight, bias)
        """
    ) { (x: Tensor, groups: Int, w: Tensor?, b: Tensor?, o: Epsilon) in
      try x.groupNorm(groups, w, b, epsilon: o.eps)
    }
    s.pure(
      "rms_norm", params: ["weight", "options"],
      doc: """
        x/√(mean of x² + eps)·weight over one dimension (arXiv 1910.07467).
        Unlike PyTorch, it is over dimension 2, the channels of an image, as layer_norm, and eps is
        1e-6. weight has the size of that dimension, or is nil.

            x:rms_norm(weight)
            x:rms_norm(weight, { dim = -1 })   -- as PyTorch's
        """
    ) { (x: Tensor, w: Tensor?, o: OfVectors) in
      try x.rmsNorm(w, dim: dimension(o.dim ?? 2, x, "rms_norm"), epsilon: o.eps)
    }
    s.op(
      "dropout", params: ["p", "options"],
      doc: """
        Sets elements to 0 with probability p, and divides the others by 1 − p (JMLR 15:1929).
        It draws from the generator that lv.seed seeds. Decoder programs in files have no dropout.

            x:dropout(0.1)
            x:dropout(0.1, { training = lv.is_grad_enabled() })

        @param p? number  probability that an element is dropped (0.5)
        """
    ) { (x: Tensor, p: Double?, o: Training) -> Tensor in
      guard o.training else { return x }
      return try x.dropout(p ?? 0.5, &session.random)
    }
  }
}
