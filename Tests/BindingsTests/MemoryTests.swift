// Memory over thousands of steps.
import Glibc
import Testing

extension RobustnessTests {
  @Suite(.needsProgram) struct MemoryTests {
    /// Resident memory stays constant. Ten thousand of these steps take half a minute, so this runs
    /// two thousand; LUNERV_TEST_STEPS sets another number.
    @Test func trainingStaysFlat() throws {
      let steps = getenv("LUNERV_TEST_STEPS").flatMap { Int(String(cString: $0)) } ?? 2000
      let scratch = try Scratch()
      let clip = try scratch.file("clip.y4m", y4m(32, 24, 4))
      let script = try scratch.file(
        "long.lua",
        """
        local lv = require "lunerv"
        local steps = math.tointeger(tonumber(arg[2]))
        local function resident()
          for line in io.lines "/proc/self/status" do
            local kilobytes = line:match "^VmRSS:%s*(%d+)"
            if kilobytes then return tonumber(kilobytes) end
          end
        end
        lv.seed(1)
        lv.set_threads(1) -- steps too small to split
        local clip <close> = assert(lv.video.open(arg[1]))
        lv.train {
          model = lv.models.hnerv_boost {
            clip = clip, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 2, 2 }, ch_t = 4,
            pe_levels = 4, dec_blks = { 1 },
          },
          clip = clip, out = arg[3], epochs = steps // #clip,
          on_step = function(e)
            if e.step == steps // 5 or e.step == steps then
              collectgarbage()
              collectgarbage() -- what finalizers released
              print(e.step, resident(), lv.stats().live_tensors, lv.stats().tape_entries)
            end
          end,
        }
        """)
      let outcome = try Running(
        scratch, bytes: ["run", script, clip, "\(steps)", scratch["out"]].map { Array($0.utf8) }
      ).outcome(within: 600)
      #expect(outcome.code == 0, "\(outcome.err)")
      let rows = lines(of: outcome.out).map { $0.split(separator: "\t").compactMap { Int($0) } }
      try #require(rows.count == 2 && rows.allSatisfy { $0.count == 4 }, "\(outcome.out)")
      print("resident kB, living tensors and tape entries by step: \(rows)")
      #expect(rows[1][1] - rows[0][1] < 8192, "\(outcome.out)")
      // One tensor kept per step would be more.
      for column in 2...3 {
        #expect(rows[1][column] - rows[0][column] < steps / 2, "\(outcome.out)")
      }
    }
  }
}
