// lunerv run --profile: the report is printed however the script ends.
import Glibc
import Testing

extension RobustnessTests {
  @Suite(.needsProgram) struct ProfileTests {
    let scratch: Scratch
    static let block = """
      local lv = require "lunerv"
      local nn = lv.nn
      local Block = nn.class "MyBlock"
      function Block:init() self.conv = nn.Conv2d(3, 3, { kernel = 3, padding = 1 }) end
      function Block:forward(x) return self.conv(x):sin() end
      local block, x = Block(), lv.rand(1, 3, 32, 32)
      local function step() block(x):mean():backward() end

      """

    init() throws { scratch = try Scratch() }

    @Test func theReportComesAfterTheScript() throws {
      let script = try scratch.file(
        "fine.lua", Self.block + "step() print('out', arg[1], arg[2])")
      let plain = try lunerv(scratch, ["run", script, "--profile=x.svg", "y"])
      #expect(plain.code == 0)
      #expect(plain.err.isEmpty)
      #expect(plain.out == "out\t--profile=x.svg\ty\n")
      let outcome = try lunerv(scratch, ["run", "--profile", script, "a", "b"])
      #expect(outcome.code == 0, "\(outcome.err)")
      #expect(outcome.out == "out\ta\tb\n")
      #expect(outcome.err.contains("\nMyBlock.conv "), "\(outcome.err)")
      #expect(outcome.err.contains("\nconv2d weight gradient "), "\(outcome.err)")
      #expect(outcome.errorLines.allSatisfy { $0.count <= 80 })
    }

    @Test func filesAreWritten() throws {
      let script = try scratch.file("fine.lua", Self.block + "step()")
      let (svg, json) = (scratch["flame.svg"], scratch["all.json"])
      let outcome = try lunerv(
        scratch, ["run", "--profile=\(svg)", "--profile-json", json, script])
      #expect(outcome.code == 0, "\(outcome.err)")
      #expect(try text(of: svg).hasPrefix("<svg "))
      #expect(try text(of: json).contains("\"MyBlock.conv\""))
      let second = scratch["second.json"]
      #expect(try lunerv(scratch, ["run", "--profile=\(second)", script]).code == 0)
      #expect(try text(of: second).contains("\"MyBlock.conv\""))
      // Before the script runs, rather than hours later.
      let refused = try lunerv(scratch, ["run", "--profile=flame.png", script])
      #expect(refused.code == 2)
      #expect(
        refused.errorLines == [
          "lunerv: --profile: expected a file that ends in .svg or .json, got 'flame.png'"
        ])
    }

    @Test func aScriptThatFailsIsReportedToo() throws {
      let script = try scratch.file("fails.lua", Self.block + "step()\nerror('on purpose')")
      let outcome = try lunerv(scratch, ["run", "--profile", script])
      #expect(outcome.code == 1)
      #expect(outcome.err.contains("\nMyBlock.conv "), "\(outcome.err)")
      #expect(outcome.err.contains("fails.lua:9: on purpose"), "\(outcome.err)")
    }

    @Test func ctrlCIsReportedToo() throws {
      let started = scratch["started"]
      let script = try scratch.file(
        "long.lua",
        Self.block + "step() io.open('\(started)', 'w'):close() while true do step() end")
      let running = try start(scratch, ["run", "--profile", script])
      #expect(running.wait { exists(started) })
      running.send(SIGINT)
      let outcome = try running.outcome()
      #expect(outcome.code == 130)
      #expect(outcome.err.contains("\nMyBlock.conv "), "\(outcome.err)")
      #expect(outcome.err.contains("interrupted: "), "\(outcome.err)")
    }
  }
}
