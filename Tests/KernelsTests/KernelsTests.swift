import Glibc
import Testing

@testable import Kernels

func fill(_ n: Int, seed: UInt64, scale: Float = 1) -> [Float] {
  var s = seed &* 0x9E37_79B9_7F4A_7C15 | 1
  return (0..<n).map { _ in
    s ^= s << 13
    s ^= s >> 7
    s ^= s << 17
    return (Float(s >> 40) / Float(1 << 24) - 0.5) * 2 * scale
  }
}

func seconds() -> Double {
  var t = timespec()
  clock_gettime(CLOCK_MONOTONIC, &t)
  return Double(t.tv_sec) + Double(t.tv_nsec) * 1e-9
}

@Test func convBench() {
  guard getenv("KB") != nil else { return }
  let (h, w, c) = (720, 1280, 35)
  let layout = ImageLayout(n: 1, channels: c, height: h, width: w, planar: false)
  let x = UnsafeMutablePointer<Float>.allocate(capacity: h * w * 40)
  x.initialize(repeating: 0, count: h * w * 40)
  let y = UnsafeMutablePointer<Float>.allocate(capacity: h * w * 40)
  y.initialize(repeating: 0, count: h * w * 40)
  for p in 0..<h * w { for k in 0..<c { x[p * 40 + k] = Float((p * 7 + k * 13) % 17) / 17 - 0.5 } }
  let wt = fill(c * c * 9, seed: 3)
  let s = ConvolutionShape(
    n: 1, inputs: c, height: h, width: w, outputs: c, kh: 3, kw: 3, stride: 1, padY: 1, padX: 1,
    groups: 1)
  let flop = 2.0 * Double(c * c * 9 * h * w)
  var dw = [Float](repeating: 0, count: c * c * 9)
  var db = [Float](repeating: 0, count: c)
  for alg in [ConvolutionAlgorithm.winograd, .direct] {
    for rep in 0..<4 {
      let t0 = seconds()
      Convolution.forward(
        s, by: alg, ImageOperand(layout, .memory(x)), w: wt, b: nil, ImageTarget(layout, y))
      let t1 = seconds()
      Convolution.dataGradient(
        s, by: alg, ImageOperand(layout, .memory(y)), w: wt, ImageTarget(layout, x))
      let t2 = seconds()
      Convolution.weightGradient(
        s, by: alg, ImageOperand(layout, .memory(x)), ImageOperand(layout, .memory(y)), dw: &dw,
        db: &db)
      let t3 = seconds()
      if rep > 0 {
        print(
          alg, "fwd", flop / (t1 - t0) / 1e9, "data", flop / (t2 - t1) / 1e9, "weight",
          flop / (t3 - t2) / 1e9)
      }
    }
  }
}
