import Glibc
import Lunerv
import Testing

/// Operators that a host writes in Swift: ordinary operators for Lua, and checked on both sides.
@Suite struct OperatorTests {
  private func session() throws -> Session {
    let session = try Session()
    try session.define("waves") { module in
      module.operation("wave", [.tensor("x"), .number("omega").optional]) { call in
        let x = try call.tensor("x")
        let omega = try call["omega"].number ?? 1
        return Outcome(try x.map { sin(omega * $0) }) { gradients in
          [try gradients[0].map(with: x) { $0 * omega * cos(omega * $1) }]
        }
      }
      // Two results, from two tensors.
      module.operation("polar", [.tensor("x"), .tensor("y")]) { call in
        let (x, y) = (try call.tensor("x"), try call.tensor("y"))
        let r = try x.map(with: y) { ($0 * $0 + $1 * $1).squareRoot() }
        let phi = try y.map(with: x, atan2)
        return Outcome(r, phi) { gradients in
          let (dr, dphi) = (gradients[0], gradients[1])
          let square = try r * r
          return [
            try dr * x / r - dphi * y / square, try dr * y / r + dphi * x / square,
          ]
        }
      }
      module.operation("wrong_shape", [.tensor("x")]) { call in
        Outcome(try call.tensor("x").map { 2 * $0 }) { [try $0[0].call("sum")] }
      }
      module.operation("too_many", [.tensor("x")]) { call in
        Outcome(try call.tensor("x").map { 2 * $0 }) { [$0[0], $0[0]] }
      }
      module.operation("failing", [.tensor("x")]) { call in
        Outcome(try call.tensor("x").map { 2 * $0 }) { _ in
          throw LunervError(.numeric, "failing: no gradient today")
        }
      }
      module.operation("constant", [.tensor("x")]) { Outcome(try $0.tensor("x")) }
      module.operation("image", [.tensor("x", [.f32], shape: [1, 3, nil, nil])]) {
        Outcome(try $0.tensor("x"))
      }
      module.function("describe", [.string("text"), .integer("n").optional, .any("rest")]) { call in
        [
          .string(try call.string("text")), try call["n"],
          ["kind": .string(try call["rest"].typeName)],
        ]
      }
    }
    return session
  }

  private let start = "local lv, waves = require 'lunerv', require 'waves'\n"

  @Test func gradientsAgreeWithDifferences() throws {
    let results = try session().run(
      start + """
        lv.seed(1)
        local x = lv.randn(3, 4)
        lv.gradcheck(waves.wave, { x, 3 })
        lv.gradcheck(function(a) return waves.wave(a * 2, 0.5):square() end, { x })
        lv.gradcheck(waves.polar, { x + 3, lv.randn(3, 4) })
        lv.gradcheck(function(a, b) return (select(2, waves.polar(a, b))) end, { x + 3, x })
        return 'checked'
        """)
    #expect(results[0].string == "checked")
  }

  @Test func trainingGoesThroughThem() throws {
    let results = try session().run(
      start + """
        lv.seed(1)
        local x = lv.linspace(-1, 1, 64)
        local target = (x * 3 + 0.5):sin()
        local w = lv.tensor({ 2.5 }, { requires_grad = true })
        local b = lv.tensor({ 0.3 }, { requires_grad = true })
        local optimiser = lv.optim.Adam({ w, b }, { lr = 0.02 })
        local loss
        for _ = 1, 300 do
          loss = (waves.wave(x * w + b) - target):square():mean()
          optimiser:zero_grad()
          loss:backward()
          optimiser:step()
        end
        return loss:item(), w:item(), b:item()
        """)
    #expect(try #require(results[0].number) < 1e-6)
    #expect(abs(try #require(results[1].number) - 3) < 1e-2)
  }

  @Test(arguments: [
    ("waves.wave(3)", "wave: argument 1 (x): expected tensor, got number"),
    ("waves.wave()", "wave: argument 1 (x): expected tensor, got nil"),
    ("waves.wave(lv.ones(2), 'x')", "wave: argument 2 (omega): expected number, got string"),
    ("waves.wave(lv.ones(2), 1, 2)", "wave: expected at most 2 arguments, got 3"),
    (
      "waves.wave(lv.ones(2, { dtype = 'i32' }))",
      "wave: argument 1 (x): expected f32 or f64, got i32 (2)"
    ),
    (
      "waves.image(lv.ones(1, 4, 2, 2))",
      "image: argument 1 (x): expected f32 (1, 3, any, any), got f32 (1, 4, 2, 2)"
    ),
    ("waves.polar(lv.ones(2), lv.ones(3))", "polar: map: expected f32 (2), got f32 (3)"),
    (
      "waves.wrong_shape(x):sum():backward()",
      "wrong_shape: gradient 1: expected f32 (2), got f32 ()"
    ),
    (
      "waves.too_many(x):sum():backward()",
      "too_many: backward: expected 1 gradients, one or nil for each tensor among the arguments, got 2"
    ),
    ("waves.failing(x):sum():backward()", "failing: no gradient today"),
  ])
  func mistakesAreReportedAtTheUsersLine(call: String, message: String) throws {
    let error = #expect(throws: LunervError.self) {
      try session().run(
        start + "local x = lv.ones(2, { requires_grad = true })\n" + call, name: "user.lua")
    }
    #expect(error?.place == "user.lua:3")
    let text = try #require(error?.message)
    #expect(text == message || text == "backward: " + message)
  }

  @Test func withoutABackwardResultsAreConstants() throws {
    let results = try session().run(
      start + """
        local x = lv.ones(2, { requires_grad = true })
        return waves.constant(x).requires_grad, waves.wave(x).requires_grad,
          lv.no_grad(function() return waves.wave(x).requires_grad end), x.requires_grad
        """)
    #expect(results.map(\.bool) == [false, true, false, true])
  }

  @Test func functionsTakePlainValues() throws {
    let results = try session().run(start + "return waves.describe('a', nil, { 1 })")
    #expect(results[0].string == "a" && results[1].typeName == "nil")
    #expect(results[2]["kind"]?.string == "table")
  }

  @Test func aModuleOfLunervsOwnIsNotReplaced() throws {
    #expect(throws: LunervError.self) { try Session().define("lunerv.nn") { _ in } }
  }

  @Test func graphsThatHoldSwiftClosuresAreFreed() throws {
    final class Witness {}
    weak var witness: Witness?
    let session = try Session()
    do {
      let held = Witness()
      witness = held
      try session.define("holding") { module in
        module.operation("hold", [.tensor("x")]) { call in
          let here = Witness()
          witness = here
          return Outcome(try call.tensor("x").map { $0 }) { gradients in
            _ = here
            return gradients
          }
        }
      }
    }
    try session.run("x = require('lunerv').ones(2, { requires_grad = true })")
    try session.run("y = require('holding').hold(x):sum()")
    #expect(witness != nil)
    try session.run("y:backward()")
    #expect(witness == nil)
    try session.run("y = require('holding').hold(x) * 2")
    #expect(witness != nil)
    session.close()
    #expect(witness == nil)
  }
}
