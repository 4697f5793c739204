import LuaBridge
import Ranks
import Support
import Tensors

/// The ranks for Lua: the base of lv.dist and the training loop.
enum RankModule {
  static func define(_ m: LuaModule) {
    m.define(
      "ranks",
      doc: "This process's rank, how many ranks there are, their hosts, and the MPI library or nil."
    ) { () -> LuaResults in
      let ranks = Ranks.shared
      return LuaResults(ranks.rank, ranks.size, ranks.hosts, Ranks.library)
    }
    m.define("rank_name", params: ["rank"], doc: "A rank and its host, for messages.") {
      (rank: Int) -> String in Ranks.shared.name(of: rank)
    }
    m.define(
      "rank_stats", doc: "Bytes that this rank has sent so far, and seconds that it has waited."
    ) { () -> LuaResults in
      LuaResults(Ranks.shared.sentBytes, Ranks.shared.waitSeconds)
    }
    m.define("ranks_broken", doc: "Whether a rank was lost.") { () -> Bool in
      Ranks.shared.isBroken
    }
    m.define(
      "set_ranks_alone", params: ["is_apart"],
      doc: "Sets whether this process works without the other ranks; returns the old setting."
    ) { (worksAlone: Bool) -> Bool in
      defer { Ranks.shared.worksAlone = worksAlone }
      return Ranks.shared.worksAlone
    }
    m.define(
      "ranks_rejoin", doc: "Excludes the time since the last message from the longest work."
    ) { Ranks.shared.rejoin() }
    m.define(
      "set_rank_deadline", params: ["seconds"],
      doc: "Sets the seconds to wait for a rank, in addition to the longest work so far."
    ) { (seconds: Double) in
      guard seconds > 0, seconds.isFinite else {
        throw LunervError(
          .argument, "deadline: expected a number of seconds above 0, got \(seconds.printable)")
      }
      Ranks.shared.deadline = seconds
    }
    m.define(
      "ranks_gather", params: ["bytes", "what"], doc: "The bytes of all ranks, by rank."
    ) { (own: LuaBytes, what: String) -> [LuaBytes] in
      try Ranks.shared.gather(own.bytes, as: what).map { LuaBytes($0) }
    }
    m.define(
      "ranks_broadcast", params: ["tensor", "shape", "dtype", "root", "what"],
      doc: "A copy of a rank's tensor, whose shape and dtype all ranks know; the others pass nil."
    ) { (tensor: Tensor?, shape: [Int], dtype: String, root: Int, what: String) -> Tensor in
      try broadcast(tensor, shape, dtype, from: root, as: what)
    }
    m.define(
      "ranks_sum", params: ["tensors", "what"],
      doc: "Sums of all ranks' tensors, one for each: every rank passes the same shapes and dtypes."
    ) { (tensors: [Tensor], what: String) -> [Tensor] in
      try tensors.map { try sum($0, as: what) }
    }
    m.define(
      "gradient_squares", params: ["parameters"],
      doc: "The sum of squares of each parameter's gradient, 0 if it has none."
    ) { (parameters: [Tensor]) -> [Double] in
      try Optimiser.gradientSquares(of: parameters).map { $0 ?? 0 }
    }
    m.define(
      "scale_gradients", params: ["parameters", "squares", "limit"],
      doc: "clip_grad_norm for a known sum of all squares; returns the norm before."
    ) { (parameters: [Tensor], squares: Double, limit: Double) -> Double in
      try Optimiser.scaleGradients(of: parameters, squares: squares, to: limit)
    }
    m.define("stop", doc: "Asks this process to stop, as Ctrl-C does.", polls: false) {
      LuaInterrupt.request()
    }
  }

  private static func broadcast(
    _ tensor: Tensor?, _ shape: [Int], _ dtype: String, from root: Int, as what: String
  ) throws -> Tensor {
    guard let type = DType(rawValue: dtype), (0..<Ranks.shared.size).contains(root) else {
      throw LunervError(.argument, "\(what): expected a dtype and a rank")
    }
    if Ranks.shared.rank == root {
      guard let tensor, tensor.shape == shape, tensor.dtype == type else {
        throw LunervError(.argument, "\(what): expected a tensor")
      }
      return try tensor.withBytes { bytes in
        // Only read: this rank is the root.
        try Ranks.shared.broadcast(
          UnsafeMutableRawBufferPointer(mutating: bytes), from: root, as: what)
        return tensor
      }
    }
    let room = try Tensor.full(0, shape, type)
    return try room.changed { try Ranks.shared.broadcast($0, from: root, as: what) }
  }

  private static func sum(_ tensor: Tensor, as what: String) throws -> Tensor {
    try tensor.detach().changed { bytes in
      switch tensor.dtype {
      case .f32: try Ranks.shared.sum(bytes.assumingMemoryBound(to: Float.self), as: what)
      case .f64: try Ranks.shared.sum(bytes.assumingMemoryBound(to: Double.self), as: what)
      case .i32: try Ranks.shared.sum(WrappingInteger.view(bytes), as: what)
      default:
        throw LunervError(
          .argument, "\(what): expected f32, f64 or i32, got \(tensor.dtype.rawValue)")
      }
    }
  }
}

/// Sums of i32 over the ranks wrap around; operators raise an error instead.
private struct WrappingInteger: AdditiveArithmetic {
  var number: Int32
  static var zero: WrappingInteger { WrappingInteger(number: 0) }
  static func + (a: WrappingInteger, b: WrappingInteger) -> WrappingInteger {
    WrappingInteger(number: a.number &+ b.number)
  }
  static func - (a: WrappingInteger, b: WrappingInteger) -> WrappingInteger {
    WrappingInteger(number: a.number &- b.number)
  }
  static func view(_ bytes: UnsafeMutableRawBufferPointer)
    -> UnsafeMutableBufferPointer<WrappingInteger>
  { bytes.assumingMemoryBound(to: WrappingInteger.self) }
}
