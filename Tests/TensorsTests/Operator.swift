import Testing

@testable import Tensors

/// An operator under test: inputs of these shapes, drawn from these ranges.
struct Operator: Sendable, CustomTestStringConvertible {
  struct Input: Sendable {
    var shape: [Int]
    var lo = -1.5, hi = 1.5
  }

  var name: String
  var inputs: [Input]
  /// The relative error allowed for f32 against f64, in the result and every gradient.
  var tolerance = 3e-6
  /// Whether finite differences make sense at every point.
  var smooth = true
  var apply: @Sendable ([Tensor]) throws -> Tensor

  init(
    _ name: String, _ shapes: [Int]..., lo: Double = -1.5, hi: Double = 1.5,
    tolerance: Double = 3e-6, smooth: Bool = true,
    _ apply: @escaping @Sendable ([Tensor]) throws -> Tensor
  ) {
    self.name = name
    inputs = shapes.map { Input(shape: $0, lo: lo, hi: hi) }
    self.tolerance = tolerance
    self.smooth = smooth
    self.apply = apply
  }

  var testDescription: String {
    name + " of " + inputs.map { Shape.describe($0.shape) }.joined(separator: ", ")
  }

  /// The memory layouts of the inputs.
  enum Variant: CaseIterable {
    case planar, channelsLast
    /// Every other input channels-last.
    case mixed
    /// Inputs that are pending expressions.
    case pending
  }

  private var numbers: [[Double]] {
    inputs.enumerated().map { noise(elements($1.shape), seed: 7 * $0 + 1, $1.lo, $1.hi) }
  }

  /// The factor of the result before it is summed to the scalar that backward starts from.
  private func weights(_ shape: [Int], _ dtype: DType, channelsLast: Bool) throws -> Tensor {
    try .leaf(shape, seed: 99, dtype, channelsLast: channelsLast, gradient: false)
  }

  private struct Outcome {
    var result: [Double]
    var shape: [Int]
    var gradients: [[Double]]
    var paddingIsZero: Bool
  }

  private func run(_ dtype: DType, _ variant: Variant) throws -> Outcome {
    let leaves = try zip(inputs, numbers).enumerated().map { i, input in
      try Tensor.leaf(
        input.1, input.0.shape, dtype,
        channelsLast: variant == .channelsLast || variant == .pending
          || (variant == .mixed && i % 2 == 0))
    }
    let y = try apply(variant == .pending ? leaves.map { try $0.multiplied(by: 1) } : leaves)
    let lasts = variant == .channelsLast || variant == .pending
    if y.node >= 0 {
      try y.multiplied(by: weights(y.shape, dtype, channelsLast: lasts)).sum().backward()
    }
    return Outcome(
      result: try y.numbers(), shape: y.shape,
      gradients: try zip(leaves, inputs).map {
        try $0.grad?.numbers() ?? [Double](repeating: 0, count: elements($1.shape))
      },
      paddingIsZero: try y.paddingIsZero()
        && leaves.allSatisfy { try $0.grad?.paddingIsZero() ?? true })
  }

  /// Compares gradients in f64 with central differences, at some positions of each input.
  func checkGradients() throws {
    let numbers = numbers
    let exact = try run(.f64, .planar)
    let recording = Session.current.isRecording
    Session.current.isRecording = false
    defer { Session.current.isRecording = recording }
    let weights = try weights(exact.shape, .f64, channelsLast: false).numbers()
    func loss(_ numbers: [[Double]]) throws -> Double {
      let leaves = try zip(inputs, numbers).map {
        try Tensor.leaf($1, $0.shape, .f64, gradient: false)
      }
      return zip(try apply(leaves).numbers(), weights).reduce(0) { $0 + $1.0 * $1.1 }
    }
    // The rounding of the loss itself, divided by the step.
    let noise = zip(exact.result, weights).reduce(0) { $0 + abs($1.0 * $1.1) } * 1e-9
    for (i, values) in numbers.enumerated() {
      let largest = exact.gradients[i].map(abs).max() ?? 0
      for at in stride(
        from: 0, to: values.count,
        by: values.count > 1000 ? values.count / 5 : max(1, values.count / 30))
      {
        let h = 1e-6
        var (above, below) = (numbers, numbers)
        above[i][at] += h
        below[i][at] -= h
        let slope = try (loss(above) - loss(below)) / (2 * h)
        let error = abs(slope - exact.gradients[i][at])
        let bound = 3e-7 * max(1, largest) + noise
        #expect(
          error <= bound,
          "\(testDescription): gradient \(at) of input \(i) is \(exact.gradients[i][at]), the slope \(slope)"
        )
        if !(error <= bound) { return }
      }
    }
  }

  /// Compares results and gradients in f32, for every layout of the inputs, with those in f64.
  func checkSingle() throws {
    let exact = try run(.f64, .planar)
    let images = inputs.contains { $0.shape.count == 4 }
    for variant in images ? Variant.allCases : [.planar, .pending] {
      let got = try run(.f32, variant)
      let (shape, wanted) = (got.shape, exact.shape)
      #expect(shape == wanted, "shape of \(testDescription), \(variant)")
      let error = relativeError(got.result, exact.result, least: 1e-3)
      #expect(error < tolerance, "result of \(testDescription), \(variant)")
      for (i, gradient) in got.gradients.enumerated() {
        let error = relativeError(gradient, exact.gradients[i], least: 1e-3)
        #expect(error < tolerance, "gradient \(i) of \(testDescription), \(variant)")
      }
      let paddingIsZero = got.paddingIsZero
      #expect(paddingIsZero, "padding lanes of \(testDescription), \(variant)")
    }
  }
}
