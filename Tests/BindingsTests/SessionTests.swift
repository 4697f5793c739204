import LuaBridge
import Support
import Tensors
import Testing

@testable import Bindings

/// Hosts in one process do not see each other: each has its own tape, gate, memory, work and random
/// numbers.
@Suite struct SessionTests {
  /// A few steps of training, with pending values, a recurring `no_grad` and random numbers.
  private static let training = """
    local lv = require "lunerv"
    lv.seed(SEED)
    local net = lv.nn.Sequential { lv.nn.Conv2d(3, 8, { kernel = 3, padding = 1 }), "gelu",
      lv.nn.Conv2d(8, 3, { kernel = 3, padding = 1 }) }
    local optimiser = lv.optim.Adam(net:parameters(), { lr = 1e-2 })
    local x, target = lv.rand(1, 3, 48, 64), lv.rand(1, 3, 48, 64)
    local losses = {}
    for i = 1, STEPS do
      local loss = ((net(x) - target) ^ 2):mean()
      optimiser:zero_grad()
      loss:backward()
      optimiser:step()
      losses[i] = ("%.17g"):format(lv.no_grad(function() return (loss * 1):item() end))
    end
    return table.concat(losses, " ")
    """

  private static func source(seed: Int, steps: Int = 20) -> String {
    training.replacing("SEED", with: "\(seed)").replacing("STEPS", with: "\(steps)")
  }

  private func text(_ host: Host, _ source: String) throws -> String {
    guard case .string(let text) = try host.lua.run(source: source, chunkName: "@t.lua").first
    else { throw LunervError(.data, "no text") }
    return text
  }

  @Test func hostsInTurnsDoNotSeeEachOther() throws {
    let alone = try (1...2).map { try text(Host(), Self.source(seed: $0)) }
    let (a, b) = (try Host(), try Host())
    let start = "lv = require 'lunerv' lv.seed(%) x = lv.rand(4) x.requires_grad = true y = x * 2"
    _ = try a.lua.run(source: start.replacing("%", with: "1"), chunkName: "@a.lua")
    _ = try b.lua.run(source: start.replacing("%", with: "2"), chunkName: "@b.lua")
    #expect(a.session.tapeEntries == 2 && b.session.tapeEntries == 2)
    #expect(try text(b, Self.source(seed: 2)) == alone[1])
    let next = "return tostring(lv.rand(1):item())"
    let expected = try text(Host(), "lv = require 'lunerv' lv.seed(1) lv.rand(4) " + next)
    #expect(try text(a, next) == expected)
    #expect(try text(a, Self.source(seed: 1)) == alone[0])
    let gradient = "y:sum():backward() return table.concat(x.grad:tolist(), ' ')"
    #expect(try text(a, gradient) == "2.0 2.0 2.0 2.0")
    #expect(try text(b, gradient) == "2.0 2.0 2.0 2.0")
    #expect(Session.current !== a.session && Session.current !== b.session)
  }

  @Test func aHostInsideAnotherLeavesItAsItWas() throws {
    let (outer, inner) = (try Host(), try Host())
    let module = LuaModule("inner")
    module.define("run") { (text: String) throws -> Int in
      _ = try inner.lua.run(source: text, chunkName: "@inner.lua")
      return inner.session.tapeEntries
    }
    outer.lua.register(module)
    let source = """
      local lv = require "lunerv"
      local x = lv.ones(3)
      x.requires_grad = true
      return lv.no_grad(function()
        -- Recording is off here, and on in there.
        local entries = require("inner").run [[
          lv = require "lunerv"
          x = lv.ones(3)
          x.requires_grad = true
          y = x + 1
        ]]
        return ("%d %s"):format(entries, (x * 2).requires_grad)
      end) .. " " .. tostring((x * 2).requires_grad)
      """
    #expect(try text(outer, source) == "2 false true")
  }

  @Test func memoryAndWorkAreAHostsOwn() throws {
    let (small, large) = (try Host(), try Host())
    let idle = large.session.living
    small.session.memoryLimit = 1 << 20
    let big = "x = require('lunerv').zeros(1 << 20) return tostring(#x)"
    #expect(throws: LunervError.self) { try text(small, big) }
    #expect(try text(large, big) == "\(1 << 20)")
    #expect(large.session.living.bytes - idle.bytes >= 4 << 20)
    #expect(small.session.living.bytes < 1 << 20)
    small.session.workLeft = 1000
    let work = "local x = require('lunerv').ones(100, 100) return tostring(x:sum():item())"
    #expect(throws: LunervError.self) { try text(small, work) }
    #expect(try text(large, work) == "10000.0")
  }

  @Test func finalizersMayComputeWhileTheStateIsClosed() throws {
    var host: Host? = try Host()
    let session = host?.session
    _ = try host?.lua.run(
      source: """
        local lv = require "lunerv"
        local x = lv.ones(3)
        x.requires_grad = true
        kept = setmetatable({ x }, { __gc = function(self) local y = (self[1] * 2):sum():item() end })
        """, chunkName: "@t.lua")
    host = nil
    #expect(session?.tapeEntries == 0 && session?.living.blocks == 0)
  }

  @Test func hostsOnTwoThreadsComputeWhatEachDoesAlone() throws {
    let alone = try (1...2).map { try text(Host(), Self.source(seed: $0, steps: 40)) }
    final class Result: @unchecked Sendable {
      var texts: [String] = []
    }
    let results = [Result(), Result()]
    let threads = [SideThread(), SideThread()]
    for (i, thread) in threads.enumerated() {
      let begun = thread.start {
        for _ in 0..<3 {
          let found = try Host().lua.run(
            source: Self.source(seed: i + 1, steps: 40), chunkName: "@t\(i).lua")
          if case .string(let text)? = found.first { results[i].texts.append(text) }
        }
      }
      try #require(begun)
    }
    for thread in threads { try thread.wait() }
    for thread in threads { thread.stop() }
    #expect(results.map(\.texts) == alone.map { [$0, $0, $0] })
  }
}
