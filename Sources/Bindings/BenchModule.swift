import Glibc
import Kernels
import LuaBridge
import Support
import Tensors

/// What only `lunerv bench` needs.
enum BenchModule {
  /// The sizes of a convolution; one number serves both directions.
  private struct Shape: LuaOptions {
    var inputs = 1
    var outputs = 1
    var height = 1
    var width = 1
    var kernel = PerAxis(1)
    var stride = PerAxis(1)
    var padding = AxisPadding(padding: .sides([0]))
    var dilation = PerAxis(1)
    var groups = 1
    static var luaFields: [LuaField<Shape>] {
      [
        LuaField("inputs", \.inputs), LuaField("outputs", \.outputs), LuaField("height", \.height),
        LuaField("width", \.width), LuaField("kernel", \.kernel), LuaField("stride", \.stride),
        LuaField("padding", \.padding), LuaField("dilation", \.dilation),
        LuaField("groups", \.groups),
      ]
    }

    func checked() throws -> ConvolutionShape {
      let sizes = [inputs, outputs, height, width, groups]
      let sides = kernel.list.count == 1 ? kernel.list + kernel.list : kernel.list
      guard (sizes + sides).allSatisfy({ (1...1 << 24).contains($0) }), sides.count == 2 else {
        throw LunervError(.argument, "expected sizes from 1 to 2²⁴, and one or two kernel sizes")
      }
      return try ConvolutionShape.checked(
        "bench", n: 1, inputs: inputs, height: height, width: width, outputs: outputs,
        kernel: sides,
        .init(
          stride: stride.list, padding: padding.padding, dilation: dilation.list, groups: groups))
    }
  }

  static func define(_ m: LuaModule, _ lua: LuaState, _ session: Session) {
    m.define(
      "peak_flops",
      doc: "GFLOP/s of all threads doing nothing but fused multiply-adds; takes about 0.2 s."
    ) { () -> Double in Roofline.measure() }
    m.define(
      "peak_bandwidth", doc: "GB/s at which all threads read 256 MB; takes about half a second."
    ) { () -> Double in Roofline.bandwidth() }
    m.define(
      "interpreter_seconds",
      doc: "Seconds spent in Lua itself, outside native functions, since the first call."
    ) { [weak lua] () -> Double in lua?.stopwatch.seconds ?? 0 }
    m.define(
      "convolution_choice", params: ["shape"],
      doc: "The algorithm that computes such a convolution; nil: the general one, which is slow."
    ) { (s: Shape) -> String? in Convolution.algorithm(for: try s.checked())?.rawValue }
    m.define(
      "convolution_algorithms", params: ["shape"], doc: "All that can compute such a convolution."
    ) { (s: Shape) -> [String] in
      let shape = try s.checked()
      return ConvolutionAlgorithm.allCases.filter { Convolution.admits($0, shape) }.map(\.rawValue)
    }
    m.define(
      "force_convolution", params: ["algorithm"],
      doc: "Uses an algorithm for every shape that it supports; nil: the best for each shape again."
    ) { (name: String?) in
      guard let name else {
        Convolution.forced = nil
        return
      }
      guard let algorithm = ConvolutionAlgorithm(rawValue: name) else {
        let known = ConvolutionAlgorithm.allCases.map(\.rawValue).joined(separator: ", ")
        throw LunervError(.argument, "unknown algorithm '\(name)' (known: \(known))")
      }
      Convolution.forced = algorithm
    }
    m.define(
      "work_charged", params: ["f", "limit", "memory"],
      doc:
        "The units of Work that a function charges. Beyond `limit` it is an error, as are tensors beyond `memory` bytes."
    ) { (f: LuaFunction, limit: Int?, memory: Int?) -> Int in
      let before = (work: session.workLeft, memory: session.memoryLimit)
      // Units are only counted if there is a limit.
      let allowed = min(max(limit ?? .max - 1, 0), .max - 1)
      session.workLeft = allowed
      if let memory { session.memoryLimit = max(memory, 0) }
      defer { (session.workLeft, session.memoryLimit) = before }
      try f.call()
      return allowed - session.workLeft
    }
    m.define("executable", doc: "The path of the running program if that is lunerv, or nil.") {
      () -> String? in
      guard DecoderProgram.isCommand, let path = realpath("/proc/self/exe", nil) else { return nil }
      defer { free(path) }
      return String(cString: path)
    }
  }
}
