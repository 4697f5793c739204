import Kernels
import LuaBridge

/// What `lunerv bench` needs beside what everyone uses.
enum BenchModule {
  static func define(_ m: LuaModule) {
    m.define(
      "fma_roof",
      doc: "GFLOP/s of all threads doing nothing but fused multiply-adds; takes about 0.2 s."
    ) { () -> Double in Roof.measure() }
  }
}
