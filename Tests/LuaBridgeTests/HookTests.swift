import Glibc
import Support
import Testing

@testable import LuaBridge

/// A debugger's hook and Ctrl-C share the only hook of a thread.
@Suite struct HookTests {
  private func results(of source: String) throws -> [LuaValue] {
    try makeState().run(source: source, chunkName: "@debugger.lua")
  }

  private func text(_ values: [LuaValue]) -> [String] {
    values.map {
      switch $0 {
      case .string(let s): s
      case .int(let i): "\(i)"
      case .bool(let b): "\(b)"
      case .nil_: "nil"
      default: "other"
      }
    }
  }

  @Test func gethookGivesWhatWasSet() throws {
    let values = try results(
      of: """
        local function f() end
        local before = debug.gethook()
        debug.sethook(f, "lcr", 7)
        local g, mask, count = debug.gethook()
        local co = coroutine.create(function() end)
        local inherited = debug.gethook(co)
        debug.sethook(co, f, "l")
        local other, others = debug.gethook(co)
        debug.sethook()
        return before, g == f, mask, count, inherited, other == f, others, debug.gethook()
        """)
    #expect(text(values) == ["nil", "true", "crl", "7", "nil", "true", "l", "nil"])
  }

  @Test func everyEventArrives() throws {
    let values = try results(
      of: """
        local seen = {}
        local function note(event, line) seen[event] = (seen[event] or 0) + 1 end
        local function one() return 1 end local function tail() return one() end
        debug.sethook(note, "crl", 5)
        for i = 1, 20 do tail() end
        debug.sethook()
        local lines
        debug.sethook(function(_, line) lines = (lines or "") .. line .. " " end, "l")
        local a = 1
        a = a + 1
        debug.sethook()
        return seen.call >= 20, seen["return"] >= 20, seen["tail call"] == 20, seen.line >= 20,
          seen.count >= 10, lines
        """)
    #expect(text(values) == Array(repeating: "true", count: 5) + ["9 10 11 "])
  }

  @Test func aHookRunsInCallbacksAndFailsAsCodeDoes() throws {
    let state = makeState()
    let module = LuaModule("back")
    module.define("call") { (f: LuaFunction) in _ = try f.call() }
    state.register(module)
    let values = try state.run(
      source: """
        local lines = {}
        debug.sethook(function(_, line) lines[line] = true end, "l")
        require("back").call(function()
          local here = 1
          return here
        end)
        local ok, problem = pcall(function()
          debug.sethook(function()
            debug.sethook()
            error("stop here", 0)
          end, "l")
          local x = 1
        end)
        return lines[4] and lines[5], ok, tostring(problem)
        """, chunkName: "@debugger.lua")
    #expect(text(values) == ["true", "false", "stop here"])
  }

  @Test(arguments: [
    "'l'", "'c'", "'r'", "'', 3", "'lcr', 1000",
  ])
  func ctrlCStopsWhatIsHooked(_ mask: String) async {
    // Exit tests capture nothing, so there is one per case.
    switch mask {
    case "'l'":
      await #expect(processExitsWith: .exitCode(130)) { HookTests.interrupt("'l'") }
    case "'c'":
      await #expect(processExitsWith: .exitCode(130)) { HookTests.interrupt("'c'") }
    case "'r'":
      await #expect(processExitsWith: .exitCode(130)) { HookTests.interrupt("'r'") }
    case "'', 3":
      await #expect(processExitsWith: .exitCode(130)) { HookTests.interrupt("'', 3") }
    default:
      await #expect(processExitsWith: .exitCode(130)) { HookTests.interrupt("'lcr', 1000") }
    }
  }

  private static func interrupt(_ mask: String) -> Never {
    InterruptTests.interrupt("debug.sethook(function() end, \(mask)) while true do end")
  }

  @Test func ctrlCStopsACoroutineThatIsHooked() async {
    await #expect(processExitsWith: .exitCode(130)) {
      InterruptTests.interrupt(
        """
        coroutine.wrap(function()
          debug.sethook(function() end, "l")
          while true do end
        end)()
        """)
    }
  }

  /// A request arms another hook; when it is over, the script's own is active again.
  @Test func theHookSurvivesAnInterrupt() async {
    await #expect(processExitsWith: .exitCode(0)) {
      let state = makeState()
      let run = { (source: String) in failure(of: source, in: state) }
      LuaInterrupt.install()
      alarm(20)
      let set = """
        lines = 0
        f = function() lines = lines + 1 end
        debug.sethook(f, "l")
        """
      guard run(set) == nil else { exit(90) }
      LuaInterrupt.request()
      guard run("while true do end")?.kind == .interrupted else { exit(91) }
      LuaInterrupt.clear()
      let check = """
        local before = lines
        for i = 1, 10 do
          local x = i
        end
        assert(lines >= before + 10, "the hook is gone")
        local g, mask = debug.gethook()
        assert(g == f and mask == "l")
        """
      guard run(check) == nil else { exit(92) }
      // Under a shield, too.
      let shielded = """
        local bridge = require "lunerv.bridge"
        local before = lines
        bridge.shield(function()
          require("signals").stop()
          bridge.shield(function() end) -- arms, as its end looks for the request
          for i = 1, 3000 do
            local x = i
          end
          seen = lines - before
        end)
        """
      let module = LuaModule("signals")
      module.define("stop", polls: false) { LuaInterrupt.request() }
      state.register(module)
      guard run(shielded)?.kind == .interrupted else { exit(93) }
      LuaInterrupt.clear()
      guard run("assert(seen > 3000, seen)") == nil else { exit(94) }
      exit(0)
    }
  }
}
