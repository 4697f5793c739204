import Glibc
import Support
import Testing

@testable import LuaBridge

/// Ctrl-C. The flag belongs to the process, so each test runs in its own process.
@Suite struct InterruptTests {
  /// Runs a script, sends SIGINT after 0.2 s, and exits with the code of the outcome: 130 if it was
  /// interrupted within a second, 99 if that took longer.
  static func interrupt(_ source: String) -> Never {
    let state = makeState()
    let module = LuaModule("kernel")
    module.define("spin") { () throws in
      while !LuaInterrupt.isRequested {}
      throw LunervError(.interrupted, "interrupted")
    }
    state.register(module)
    LuaInterrupt.install()
    alarm(20)  // a failing test must end too
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { _ in
        usleep(200_000)
        kill(getpid(), SIGINT)
        return nil
      }, nil)
    pthread_detach(thread)
    var start = timespec()
    clock_gettime(CLOCK_MONOTONIC, &start)
    let error = failure(of: source, in: state)
    var end = timespec()
    clock_gettime(CLOCK_MONOTONIC, &end)
    let seconds = Double(end.tv_sec - start.tv_sec) + Double(end.tv_nsec - start.tv_nsec) / 1e9
    guard let error else { exit(0) }
    guard seconds < 1.2 else { exit(99) }
    guard error.text.hasPrefix("train.lua:"), error.text.hasSuffix("interrupted") else {
      exit(98)
    }
    guard error.traceback?.contains("train.lua:") == true else { exit(97) }
    // After clearing, the state is fully usable.
    LuaInterrupt.clear()
    guard failure(of: "for i = 1, 1000 do m.integer(i) end", in: state) == nil else { exit(96) }
    exit(error.exitCode)
  }

  @Test func aPlainLoopStops() async {
    await #expect(processExitsWith: .exitCode(130)) {
      InterruptTests.interrupt("while true do end")
    }
  }

  @Test func aLoopOfNativeCallsStops() async {
    await #expect(processExitsWith: .exitCode(130)) {
      InterruptTests.interrupt("while true do m.integer(1) end")
    }
  }

  @Test func aNativeFunctionThatPollsStops() async {
    await #expect(processExitsWith: .exitCode(130)) {
      InterruptTests.interrupt("require('kernel').spin()")
    }
  }

  @Test func pcallCannotHoldItBack() async {
    await #expect(processExitsWith: .exitCode(130)) {
      InterruptTests.interrupt(
        "while true do pcall(function() while true do pcall(m.integer, 1) end end) end")
    }
    await #expect(processExitsWith: .exitCode(130)) {
      InterruptTests.interrupt(
        """
        local function stubborn() while true do xpcall(stubborn, debug.traceback) end end
        while true do pcall(stubborn) end
        """)
    }
  }

  @Test func coroutinesStop() async {
    await #expect(processExitsWith: .exitCode(130)) {
      InterruptTests.interrupt("coroutine.wrap(function() while true do end end)()")
    }
    await #expect(processExitsWith: .exitCode(130)) {
      InterruptTests.interrupt(
        """
        while true do
          local co = coroutine.create(function()
            coroutine.yield()
            while true do pcall(function() while true do end end) end
          end)
          coroutine.resume(co)
          coroutine.resume(co)
        end
        """)
    }
    await #expect(processExitsWith: .exitCode(130)) {
      InterruptTests.interrupt(
        """
        local next = coroutine.wrap(function() while true do coroutine.yield(1) end end)
        while true do next() end
        """)
    }
  }

  @Test func cleanupIsShieldedAndShieldsWait() async {
    await #expect(processExitsWith: .exitCode(130)) {
      InterruptTests.interrupt(
        """
        local bridge = require 'lunerv.bridge'
        local saved = 0
        local ok, e = pcall(bridge.on_error, function() while true do end end, function()
          for i = 1, 5000 do saved = saved + m.integer(1) end
          if not bridge.interrupted() or saved ~= 5000 then os.exit(90) end
          saved = 'saved'
        end)
        os.exit(91)  -- not reached: pcall cannot hold the interrupt back
        """)
    }
    await #expect(processExitsWith: .exitCode(130)) {
      InterruptTests.interrupt(
        """
        local bridge = require 'lunerv.bridge'
        local done
        local t <close> = setmetatable({}, {__close = function() end})
        while true do
          bridge.shield(function()
            while not bridge.interrupted() do m.integer(1) end
            for i = 1, 5000 do m.integer(i) end
            done = true
          end)
          if not done then os.exit(90) end
        end
        """)
    }
  }

  @Test func theSecondOneKills() async {
    await #expect(processExitsWith: .signal(SIGINT)) {
      LuaInterrupt.install()
      kill(getpid(), SIGINT)
      usleep(200_000)  // two that are pending at once count as one
      kill(getpid(), SIGINT)
      usleep(2_000_000)
    }
  }
}
