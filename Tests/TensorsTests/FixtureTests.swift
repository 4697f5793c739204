import Support
import Testing

@testable import Tensors

/// Runs the operator that a case names.
private func apply(_ op: String, _ o: JSON, _ inputs: [String: Tensor]) throws -> Tensor {
  func input(_ name: String) throws -> Tensor { try #require(inputs[name], "input \(name)") }
  if op == "matmul" { return try input("a").matmul(input("b")) }
  let x = try input("x")
  func dim() throws -> Int {
    let dim = try o.int("dim")
    return dim < 0 ? dim + x.shape.count : dim
  }
  switch op {
  case "conv2d":
    return try x.conv2d(
      input("w"), inputs["b"], stride: o.int("stride"), padding: o.int("padding"),
      groups: o.int("groups"))
  case "pixel_shuffle": return try x.pixelShuffled(o.int("factor"))
  case "avg_pool2d":
    let padding = try o.list("padding")
    return try x.averagePooled(padY: Int(padding[0]), padX: Int(padding[1]))
  case "pad":
    return try x.padded(
      top: o.int("top"), bottom: o.int("bottom"), left: o.int("left"), right: o.int("right"),
      o["mode"]?.stringValue == "edge" ? .edge : .constant(0))
  case "linear": return try x.linear(input("w"), inputs["b"])
  case "layer_norm":
    return try x.layerNorm(inputs["w"], inputs["b"], dim: dim(), epsilon: o.double("eps"))
  case "instance_norm": return try x.instanceNorm(epsilon: o.double("eps"))
  case "softmax": return try x.softmax(dim())
  case "gelu": return try x.gelu()
  case "silu": return try x.silu()
  case "sigmoid": return try x.sigmoid()
  case "tanh": return try x.tanh()
  case "relu": return try x.relu()
  case "sin": return try x.sin()
  case "cos": return try x.cos()
  case "exp": return try x.exp()
  case "abs": return try x.absolute()
  case "log": return try x.log()
  case "sqrt": return try x.squareRoot()
  case "ssim", "ms_ssim":
    let plan = try SimilarityPlan(
      shortSide: min(x.shape[2], x.shape[3]), scales: op == "ssim" ? 1 : 5)
    #expect(try plan.window == o.int("window") && abs(plan.sigma - o.double("sigma")) < 1e-12)
    if op == "ssim" { return try x.ssim(input("y")) }
    #expect(try relativeError(plan.weights, o.list("weights")) < 1e-12)
    return try x.msSsim(input("y"))
  case "freq_loss": return try x.frequencyLoss(input("y"))
  case "l1_loss": return try x.l1Loss(input("y"))
  case "mse_loss": return try x.mseLoss(input("y"))
  case "tat_residual":
    func affine(_ name: String, _ f: Tensor) throws -> Tensor {
      func branch(_ kind: String) throws -> Tensor {
        func conv(_ i: Int, _ x: Tensor) throws -> Tensor {
          let name = "\(name).SFT_\(kind)_conv\(i)"
          return try x.conv2d(input(name + ".weight"), input(name + ".bias"))
        }
        return try conv(1, conv(0, input("z")).relu())
      }
      return try f.multiplied(by: branch("scale").adding(1)).adding(branch("shift"))
    }
    func conv(_ name: String, _ x: Tensor) throws -> Tensor {
      try x.conv2d(input(name + ".weight"), input(name + ".bias"), padding: 1)
    }
    return try x.adding(conv("conv1", affine("sft1", conv("conv0", affine("sft0", x)).gelu())))
  default: throw LunervError(.argument, "no operator for the fixture's '\(op)'")
  }
}

/// Largest errors allowed, relative to the largest number expected, in f32.
private func tolerance(_ op: String) -> Double {
  switch op {
  case "ssim", "ms_ssim": 2e-4
  case "freq_loss", "layer_norm", "instance_norm", "tat_residual": 1e-5
  default: 3e-6
  }
}

extension TensorsTests {
  @Suite struct FixtureTests {
    private let fixtures: Fixtures

    init() throws { fixtures = try Fixtures("ops") }

    private func optimiser(_ name: String, _ op: String, _ options: JSON) throws {
      let start = try #require(try fixtures.entry("\(name)/in.param"))
      let gradients = try #require(try fixtures.entry("\(name)/in.grads"))
      let expected = try #require(try fixtures.entry("\(name)/out"))
      let betas = try options.list("betas"), epsilon = try options.double("eps")
      let parameter = try Tensor.leaf(start.numbers, start.shape)
      let optimiser = try Optimiser(
        [parameter],
        op == "adam"
          ? .adam(beta1: betas[0], beta2: betas[1], epsilon: epsilon)
          : .adan(beta1: betas[0], beta2: betas[1], beta3: betas[2], epsilon: epsilon),
        lr: options.double("lr"))
      let n = start.numbers.count
      for step in 0..<gradients.shape[0] {
        let g = try Tensor.from(Array(gradients.numbers[(step * n)..<((step + 1) * n)]), [n])
        optimiser.clearGradients()
        try parameter.multiplied(by: g).sum().backward()
        try optimiser.update()
        let wanted = Array(expected.numbers[(step * n)..<((step + 1) * n)])
        // The change in a step is small compared with the parameter, and has the parameter's
        // rounding error.
        let got = try parameter.numbers()
        for i in 0..<n {
          let error = abs(got[i] - wanted[i])
          #expect(error < 4e-7 * max(1, abs(wanted[i])), "\(name): step \(step + 1), element \(i)")
        }
      }
    }

    private func clip(_ name: String, _ options: JSON) throws {
      let names = fixtures.names(name, "in")
      let parameters = try names.map { input -> Tensor in
        let entry = try #require(try fixtures.entry("\(name)/in.\(input)"))
        let p = try Tensor.leaf(entry.numbers.map { _ in 0 }, entry.shape)
        try p.multiplied(by: .from(entry.numbers, entry.shape)).sum().backward()
        return p
      }
      let norm = try Optimiser.clipGradients(of: parameters, to: options.double("max_norm"))
      let wanted = try #require(try fixtures.entry("\(name)/out.norm"))
      #expect(relativeError([norm], wanted.numbers) < 1e-6, "\(name): norm")
      for (input, p) in zip(names, parameters) {
        let wanted = try #require(try fixtures.entry("\(name)/out.\(input)"))
        let got = try #require(try p.grad?.numbers())
        #expect(relativeError(got, wanted.numbers) < 1e-6, "\(name): gradient of \(input)")
      }
    }

    private func encoding(_ name: String) throws {
      let t = try #require(try fixtures.entry("\(name)/in.t"))
      let bases = try #require(try fixtures.entry("\(name)/in.bases"))
      let wanted = try #require(try fixtures.entry("\(name)/out"))
      let got = try positionEncoding(
        t.numbers, bases: .from(bases.numbers, bases.shape), narrow: false)
      #expect(got.shape == wanted.shape && got.dtype == .f32)
      #expect(relativeError(try got.numbers(), wanted.numbers) < 1e-7, "\(name)")
    }

    @Test func everyCaseAgrees() throws {
      #expect(fixtures.cases.count > 60)
      for member in fixtures.cases {
        let op = try #require(member.value["op"]?.stringValue)
        let options = try #require(member.value["options"])
        do {
          switch op {
          case "adam", "adan": try optimiser(member.key, op, options)
          case "clip_grad_norm": try clip(member.key, options)
          case "positional_encoding": try encoding(member.key)
          default:
            try fixtures.check(member.key, options, bound: tolerance(op)) {
              try apply(op, options, $0)
            }
          }
        } catch { Issue.record(error, "\(member.key)") }
      }
    }
  }
}
