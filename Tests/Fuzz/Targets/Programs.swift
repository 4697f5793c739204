@testable import Bindings
import Kernels
import LuaBridge
import Support
import Tensors

/// Programs over tensors, with gradients, in-place writes, closed tensors, passes without gradients
/// and mistakes: values and gradients must equal those of a plain interpreter in f64.
extension FuzzTarget {
  static let programs: [FuzzTarget] = [
    FuzzTarget(
      name: "programs", summary: "programs over tensors, against an interpreter in f64",
      longest: 512, run: { bytes in try ProgramFuzz.shared.get().run(bytes) })
  ]
}

private final class ProgramFuzz {
  nonisolated(unsafe) static let shared = Result { try ProgramFuzz() }

  private let host: Host
  private let prepare: LuaFunction

  init() throws {
    ThreadPool.shared.threads = 2
    host = try Host(confinedTo: 256 << 20, copying: 1 << 22) { _, _ in }
    let lua = host.lua
    host.session.recordingGate = { [weak lua] in lua?.nestedDepth == 0 }
    prepare = try lua.load(
      source: """
        local native, source, count = require "lunerv.native", ...
        local v, why, problems = {}, {}, {}
        local function problem(text) problems[#problems + 1] = text end
        local world = { n = native, v = v, pcall = pcall, error = error }
        function world.leaf(x)
          x.requires_grad = true
          return x
        end
        function world.try(i, f)
          local ok, result = pcall(f)
          if ok then v[i] = result else why[i] = tostring(result) end
        end
        function world.must(f, what)
          local ok, result = pcall(f)
          if not ok then problem("line " .. what .. ": " .. tostring(result)) end
        end
        function world.fails(f)
          if pcall(f) then problem "a mistake was no error" end
        end
        local chunk, message = load(source, "@program.lua", "t", world)
        if not chunk then error(message, 0) end
        chunk()
        local shapes, values, gradients = {}, {}, {}
        for i = 1, count do
          local x = v[i]
          if native.is_tensor(x) then
            shapes[i] = x.shape
            values[i] = native.no_grad(function() return x:reshape(-1):to("f64"):tolist() end)
            local g = x.grad
            gradients[i] = g and native.no_grad(function()
              return g:reshape(-1):to("f64"):tolist()
            end) or {}
          else
            shapes[i], values[i], gradients[i] = why[i] or "no tensor", {}, {}
          end
        end
        return problems, shapes, values, gradients
        """,
      chunkName: "@prepare.lua")
  }

  func run(_ bytes: [UInt8]) throws {
    var exact = Machine(FuzzInput(bytes), rounds: false)
    exact.run()
    var rough = Machine(FuzzInput(bytes), rounds: true, retired: exact.retired)
    rough.run()
    // If rounding alone changes how a value may be used, nothing can be compared.
    guard exact.lines == rough.lines else { return }
    let source = exact.lines.joined(separator: "\n")
    if Fuzzing.shows { print(source) }
    defer {
      host.lua.collect()
      let (left, entries) = (host.session.living.blocks, host.session.tapeEntries)
      require(
        left == 0 && entries == 0,
        "\(left) blocks and \(entries) entries of the tape live on\n\(source)")
    }
    let results: [LuaValue]
    do { results = try prepare.call(source, exact.variables.count - 1) } catch {
      fatalError("\(error)\n\(source)")
    }
    guard results.count == 4, case .array(let problems) = results[0],
      case .array(let shapes) = results[1], case .array(let values) = results[2],
      case .array(let gradients) = results[3]
    else { fatalError("no results: \(results)\n\(source)") }
    if case .string(let problem)? = problems.first { fatalError("\(problem)\n\(source)") }
    for number in exact.variables.indices.dropFirst() {
      guard let wanted = exact.variables[number]?.node, let other = rough.variables[number]?.node
      else { continue }
      func fail(_ what: String) -> Never { fatalError("v[\(number)]: \(what)\n\(source)") }
      let shape = ProgramFuzz.numbers(shapes[number - 1])?.map { Int($0) }
      guard let shape else { fail("\(shapes[number - 1])") }
      require(shape == wanted.shape, "v[\(number)]: shape \(shape), not \(wanted.shape)\n\(source)")
      let found = ProgramFuzz.numbers(values[number - 1]) ?? []
      if let place = ProgramFuzz.difference(
        found, wanted.values, other.values, noise: wanted.noise, isDouble: exact.isDouble)
      {
        fail("element \(place) is \(found[place]), not \(wanted.values[place])")
      }
      guard exact.areGradientsKnown, wanted.isLeaf, wanted.needsGradient else { continue }
      let gradient = ProgramFuzz.numbers(gradients[number - 1]) ?? []
      guard let expected = wanted.slot.gradient, let rounded = other.slot.gradient else {
        require(gradient.isEmpty, "v[\(number)]: a gradient that nothing gives\n\(source)")
        continue
      }
      if let place = ProgramFuzz.difference(
        gradient, expected, rounded, noise: exact.gradientNoise * 8, isDouble: exact.isDouble)
      {
        let number = place < gradient.count ? gradient[place] : .nan
        fail("element \(place) of the gradient is \(number), not \(expected[place])")
      }
    }
  }

  private static func numbers(_ value: LuaValue) -> [Double]? {
    guard case .array(let list) = value else { return nil }
    return list.map {
      switch $0 {
      case .int(let n): Double(n)
      case .number(let n): n
      default: .nan
      }
    }
  }

  /// The first element that differs by more than rounding explains: the effect of rounding to f32
  /// in the reference, and in proportion to the largest numbers on the way.
  private static func difference(
    _ found: [Double], _ wanted: [Double], _ rounded: [Double], noise: Double, isDouble: Bool
  ) -> Int? {
    guard found.count == wanted.count else { return 0 }
    let shift = zip(wanted, rounded).reduce(0) { max($0, abs($1.0 - $1.1)) }
    guard shift.isFinite, noise.isFinite else { return nil }
    let bound =
      isDouble ? 1e-6 * shift + 1e-10 * noise + 1e-12 : 100 * shift + 1e-4 * noise + 1e-6
    return wanted.indices.first { !(abs(found[$0] - wanted[$0]) <= bound) && wanted[$0].isFinite }
  }
}
