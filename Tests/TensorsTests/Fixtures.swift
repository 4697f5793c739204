import Support
import Testing

@testable import Tensors

/// Cases computed in Double by PyTorch (scripts/bench/fixtures.py describes the files).
struct Fixtures {
  let file: SafetensorsFile
  let cases: [JSON.Member]

  /// - Parameter name: the name of a file in the folder fixtures.
  init(_ name: String) throws {
    let here = "\(#filePath)"
    let folder = here[..<(here.lastIndex(of: "/") ?? here.startIndex)]
    file = try SafetensorsFile("\(folder)/fixtures/\(name).safetensors")
    let text = try #require(file.metadataValue("cases"))
    cases = try #require(try JSON.parse(text).objectValue)
  }

  struct Entry {
    var shape: [Int]
    var numbers: [Double]
  }

  /// A tensor of the file as Doubles; u8 stands for value / 255, rounded to f32.
  func entry(_ name: String) throws -> Entry? {
    guard let entry = file.entry(name) else { return nil }
    let count = entry.shape.reduce(1, *)
    let numbers = file.withBytes(of: entry) { bytes in
      (0..<count).map { i in
        switch entry.type {
        case .f64: bytes.loadUnaligned(fromByteOffset: 8 * i, as: Double.self)
        case .f32: Double(bytes.loadUnaligned(fromByteOffset: 4 * i, as: Float.self))
        case .f16: widened(bytes.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
        case .u8: Double(Float(bytes[i]) / 255)
        default: Double.nan
        }
      }
    }
    return Entry(shape: entry.shape, numbers: numbers)
  }

  /// An IEEE half as a Double.
  private func widened(_ half: UInt16) -> Double {
    let exponent = Int(half >> 10 & 31), fraction = Double(half & 1023)
    let size =
      exponent == 0
      ? fraction * 0x1p-24
      : (1024 + fraction) * Double(sign: .plus, exponent: exponent - 25, significand: 1)
    return half >> 15 == 1 ? -size : size
  }

  /// The names of a case's entries of one kind ("in", "out", "grad"), in the file's order.
  func names(_ name: String, _ kind: String) -> [String] {
    let prefix = "\(name)/\(kind)."
    return file.entries.map(\.name).filter { $0.hasPrefix(prefix) }
      .map { String($0.dropFirst(prefix.count)) }
  }

  /// Checks a case's result and gradients, in every layout, against the file.
  ///
  /// - Parameter bound: the largest error in f32, relative to the largest number expected.
  func check(
    _ name: String, _ options: JSON, bound f32Bound: Double,
    _ apply: ([String: Tensor]) throws -> Tensor
  ) throws {
    let gout = try #require(try entry("\(name)/gout"))
    let expected = try #require(try entry("\(name)/out"))
    for (dtype, lasts) in [(DType.f64, false), (.f32, false), (.f32, true)] {
      var inputs: [String: Tensor] = [:]
      for input in names(name, "in") {
        let entry = try #require(try entry("\(name)/in.\(input)"))
        inputs[input] = try .leaf(entry.numbers, entry.shape, dtype, channelsLast: lasts)
      }
      let bound = dtype == .f64 ? 3e-7 : f32Bound
      let out = try apply(inputs)
      #expect(out.shape == expected.shape)
      let start = try Tensor.leaf(
        gout.numbers, gout.shape, dtype, channelsLast: lasts, gradient: false)
      try out.multiplied(by: start).sum().backward()
      let error = relativeError(try out.numbers(), expected.numbers, least: 1e-3)
      #expect(error < bound, "\(name): result in \(dtype), channels-last \(lasts)")
      for input in names(name, "grad") {
        let gradient = try #require(try entry("\(name)/grad.\(input)"))
        var got = try #require(inputs[input]?.grad, "\(name): no gradient of \(input)")
        if let step = options["grad_row_step"]?.intValue {
          got = try got.selected(2, Array(stride(from: 0, to: got.shape[2], by: step)))
        }
        #expect(got.shape == gradient.shape)
        // Gradients of images are small, so errors are relative to their own magnitude alone.
        let error = relativeError(try got.numbers(), gradient.numbers)
        #expect(
          error < bound, "\(name): gradient of \(input) in \(dtype), channels-last \(lasts)")
      }
    }
  }
}

extension JSON {
  func int(_ key: String) throws -> Int { try #require(self[key]?.intValue) }
  func double(_ key: String) throws -> Double { try #require(self[key]?.doubleValue) }
  func list(_ key: String) throws -> [Double] {
    let values = try #require(self[key]?.arrayValue)
    return values.compactMap { $0.doubleValue }
  }
}
