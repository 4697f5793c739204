// Ctrl-C and similar signals: how soon a run stops, and what it keeps.
import Glibc
import Testing

extension RobustnessTests {
  /// Ctrl-C ends everything within a second, with a traceback and code 130.
  @Suite(.needsProgram) struct InterruptionTests {
    let scratch: Scratch
    init() throws { scratch = try Scratch() }

    /// A second, doubled for a machine that is busy with other work.
    static let limit = 2.0 * patience

    func interrupt(
      _ arguments: [String],
      after condition: (Running) -> Bool = { _ in usleep(UInt32(300_000 * patience)) == 0 }
    ) throws -> Outcome {
      let run = try start(scratch, arguments)
      #expect(condition(run), "it ended before it could be interrupted")
      run.send(SIGINT)
      let outcome = try run.outcome()
      #expect(outcome.code == 130, "\(outcome.err)")
      #expect(outcome.seconds < Self.limit, "it took \(outcome.seconds) s")
      #expect(outcome.err.contains("interrupted: "), "\(outcome.err)")
      #expect(outcome.err.contains("stack traceback:\n"), "\(outcome.err)")
      return outcome
    }

    @Test(arguments: [
      "while true do end",
      "while true do pcall(function() while true do end end) end",
      "coroutine.wrap(function() while true do coroutine.yield(pcall(error)) end end)()\n"
        + "local co = coroutine.create(function() while true do end end)\n"
        + "while true do coroutine.resume(co) end",
    ]) func loopsStop(_ source: String) throws {
      let script = try scratch.file("loop.lua", source)
      _ = try interrupt(["run", script])
    }

    /// A backward pass is one native call, of several seconds here.
    @Test func backwardStops() throws {
      let script = try scratch.file(
        "backward.lua",
        """
        local lv = require "lunerv"
        local w = lv.randn(768, 768) * 0.03
        w = w:detach()
        w.requires_grad = true
        local y = w
        for _ = 1, 40 do y = y:matmul(w) end
        y:sum():item()
        io.open(arg[1], "w"):close()
        y:sum():backward()
        print "done"
        """)
      let ready = scratch["ready"]
      let outcome = try interrupt(["run", script, ready]) { run in
        run.wait { exists(ready) } && usleep(200_000) == 0
      }
      #expect(outcome.err.contains("in method 'backward'"), "\(outcome.err)")
      #expect(outcome.seconds < patience, "it took \(outcome.seconds) s")
    }

    /// Lua code called by a backward pass: a custom gradient, a hook, a checkpointed part.
    @Test(arguments: [
      "lv.func { forward = function(_, x) return x * 2 end, backward = spin }(w)",
      "hooked(w * 2)",
      "lv.checkpoint(function(x) again() return x * 2 end, w)",
      "coroutine.wrap(function() return hooked(w * 2) end)()",
    ]) func callbacksOfBackwardStop(_ expression: String) throws {
      let script = try scratch.file(
        "callback.lua",
        """
        local lv = require "lunerv"
        local w = lv.ones(4)
        w.requires_grad = true
        local function spin()
          io.open(arg[1], "w"):close()
          while true do pcall(function() while true do end end) end
        end
        local function hooked(y)
          y:register_hook(spin)
          return y
        end
        local calls = 0
        local function again()
          calls = calls + 1
          if calls == 2 then spin() end
        end
        pcall(function() (\(expression)):sum():backward() end)
        print "done"
        """)
      let ready = scratch["ready"]
      let outcome = try interrupt(["run", script, ready]) { run in
        run.wait { exists(ready) } && usleep(100_000) == 0
      }
      #expect(!outcome.out.contains("done"))
      #expect(outcome.err.contains("callback.lua:6"), "\(outcome.err)")
    }

    /// The first read of pending convolutions stops too.
    @Test func pendingConvolutionsStop() throws {
      let script = try scratch.file(
        "pending.lua",
        """
        local lv = require "lunerv"
        lv.set_threads(1)
        local x, w = lv.randn(1, 64, 320, 320), lv.randn(64, 64, 3, 3) * 0.03
        lv.no_grad(function()
          for _ = 1, 60 do x = x:conv2d(w, nil, { padding = 1 }) end
          io.open(arg[1], "w"):close()
          local sum = x:sum():item()
        end)
        """)
      let ready = scratch["ready"]
      _ = try interrupt(["run", script, ready]) { run in run.wait { exists(ready) } }
    }

    /// The message names where the script was, not the clean-up while it was unwinding.
    @Test func theFirstPlaceIsReported() throws {
      let script = try scratch.file(
        "close.lua",
        """
        local lv = require "lunerv"
        local function spin()
          local guard <close> = setmetatable({}, { __close = function() local x = 1 end })
          while true do end
        end
        local guard <close> = setmetatable({}, { __close = function() local x = 1 end })
        local Block = lv.nn.class "Block"
        function Block:forward() spin() end
        Block()()
        """)
      let outcome = try interrupt(["run", script])
      #expect(outcome.errorLines.first?.contains("close.lua:4: ") == true, "\(outcome.err)")
      #expect(outcome.err.contains("close.lua:4: in upvalue 'spin'"), "\(outcome.err)")
      #expect(outcome.err.contains("close.lua:9: in main chunk"), "\(outcome.err)")
    }

    @Test func decodingStops() throws {
      let clip = try scratch.file("clip.y4m", y4m(32, 24, 500))
      let begun = scratch["begun"]
      let script = try scratch.file(
        "open.lua",
        """
        local lv = require "lunerv"
        lv.write_file(arg[2], "")
        local clip <close> = assert(lv.video.open(arg[1], { size = { 2000, 2000 } }))
        print("decoded")
        """)
      // Enlarging that many frames takes many seconds.
      let outcome = try interrupt(["run", script, clip, begun]) { run in
        run.wait { exists(begun) } && usleep(300_000) == 0
      }
      #expect(outcome.out.isEmpty, "\(outcome.out)")
    }

    /// During the final evaluation: the training is on disk, no partial video remains, and resuming
    /// makes the missing files.
    @Test func evaluationStops() throws {
      let clip = try scratch.file("clip.y4m", y4m(64, 48, 200))
      let out = scratch["out"]
      let arguments = ["run", Program.regress, clip, "--out", out, "--epochs", "1"] + tiny
      let outcome = try interrupt(arguments) { run in
        run.wait { names(in: out).filter { $0.hasSuffix(".tmp") }.count >= 2 }
      }
      #expect(!outcome.err.contains("warning"), "\(outcome.err)")
      let left = names(in: out)
      #expect(left.contains("checkpoint-000200.safetensors"))
      #expect(!left.contains { $0.hasSuffix(".tmp") || $0.hasSuffix(".mkv") }, "\(left)")
      #expect(!left.contains("metrics.json"))
      let resumed = try lunerv(scratch, arguments + ["--resume"])
      #expect(resumed.code == 0, "\(resumed.err)")
      #expect(names(in: out).contains("metrics.json"))
      #expect(names(in: out).contains("reconstruction.mkv"))
    }
  }
}
