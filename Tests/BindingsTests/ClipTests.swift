// All kinds of clips through `regress`: odd sizes, few frames, ten bits, images, other folders.
import Glibc
import Testing

extension RobustnessTests {
  /// Unusual clips, through regress.lua from end to end.
  @Suite(.needsProgram) struct ClipTests {
    let scratch: Scratch
    init() throws { scratch = try Scratch() }

    /// Trains one step per frame and checks that the reconstruction has the source's size, number
    /// of frames and times.
    @discardableResult
    func regress(_ clip: String, _ size: String, frames: Int, model: [String] = tiny) throws
      -> Outcome
    {
      let out = scratch["out"]
      let outcome = try lunerv(
        scratch, ["run", Program.regress, clip, "--out", out, "--epochs", "1"] + model)
      #expect(outcome.code == 0, "\(outcome.err)")
      #expect(
        outcome.out.contains("\(frames) frames of \(size)"), "\(outcome.out)")
      let check = try lunerv(
        scratch,
        [
          "run",
          try scratch.file(
            "check.lua",
            """
            local lv = require "lunerv"
            local a <close> = assert(lv.video.open(arg[1]))
            local b <close> = assert(lv.video.open(arg[2]))
            print(("%dx%d %d"):format(b.width, b.height, #b))
            for i, time in ipairs(a.timestamps) do
              assert(math.abs(time - b.timestamps[i]) < 0.0011, ("frame %d: %g s, now %g s"):format(
                i, time, b.timestamps[i]))
            end
            assert(#a == #b)
            """), clip, out + "/reconstruction.mkv",
        ])
      #expect(check.code == 0, "\(check.err)")
      #expect(check.out == "\(size) \(frames)\n")
      let left = names(in: out)
      #expect(left.contains("metrics.json"))
      #expect(left.contains { $0.hasPrefix("side_by_side.") })
      #expect(!left.contains { $0.hasSuffix(".tmp") }, "\(left)")
      return outcome
    }

    @Test func oddSizesAndFewFrames() throws {
      try regress(try scratch.file("odd.y4m", y4m(33, 17, 3)), "33x17", frames: 3)
      try regress(try scratch.file("one.y4m", y4m(32, 24, 1)), "32x24", frames: 1)
      try regress(try scratch.file("two.y4m", y4m(32, 24, 2)), "32x24", frames: 2)
      try regress(try scratch.file("flat.y4m", y4m(5, 40, 2)), "5x40", frames: 2)
    }

    @Test func stridesThatDoNotDivide() throws {
      let clip = try scratch.file("clip.y4m", y4m(34, 23, 2))
      try regress(clip, "34x23", frames: 2, model: tiny + ["--strides", "5,3"])
      let hnerv = ["--model", "hnerv", "--fc-dim", "6", "--enc-dim", "8,4", "--strides", "3,2,2"]
      try regress(clip, "34x23", frames: 2, model: hnerv)
    }

    @Test func tenBits() throws {
      let outcome = try regress(
        try scratch.file("deep.y4m", y4mOfTenBits(32, 24, 3)), "32x24", frames: 3)
      #expect(outcome.err == "warning: 10-bit samples are rounded to 8 bits\n")
    }

    @Test func sound() throws {
      let outcome = try regress(
        try scratch.file("sound.avi", aviWithSound(32, 24, 3)), "32x24", frames: 3)
      #expect(outcome.err == "warning: audio dropped\n")
    }

    @Test func imagesAndVariableRates() throws {
      let script = try scratch.file(
        "make.lua",
        """
        local lv = require "lunerv"
        local function make(name, times)
          local writer <close> = assert(lv.video.writer(arg[1] .. name,
            { width = 32, height = 24, fps = 25, timestamps = times }))
          for _ = 1, 5 do writer:write(lv.rand(1, 3, 24, 32)) end
          writer:close()
        end
        make("/images/")
        make("/variable.mkv", { 0, 0.01, 0.03, 0.5, 0.51 })
        make("/variable.mp4", { 0, 0.01, 0.03, 0.5, 0.51 })
        """)
      let made = try lunerv(scratch, ["run", script, scratch.path])
      #expect(made.code == 0, "\(made.err)")
      try regress(scratch["images"], "32x24", frames: 5)
      try regress(scratch["variable.mkv"], "32x24", frames: 5)
      if exists(scratch["variable.mp4"]) {
        try regress(scratch["variable.mp4"], "32x24", frames: 5)
      }
    }

    /// A frame is padded by repeating its last row and column, and the result is cropped.
    @Test func paddingRepeatsTheEdge() throws {
      let script = try scratch.file(
        "pad.lua",
        """
        local lv = require "lunerv"
        lv.seed(1)
        local model = lv.models.hnerv {
          height = 23, width = 34, frames = 1, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 3, 2, 2 },
        }
        local seen
        local encoder = model.encoder
        local forward = encoder.forward
        rawset(encoder, "forward", function(self, x) seen = x return forward(self, x) end)
        local image = lv.rand(1, 3, 23, 34)
        local output = model:reconstruct { image = image, t = 1, index = 1 }
        assert(table.concat(output.shape, "x") == "1x3x23x34")
        assert(table.concat(seen.shape, "x") == "1x3x24x36")
        local wide = lv.cat({ image, image:slice(4, 34, 34), image:slice(4, 34, 34) }, 4)
        local whole = lv.cat({ wide, wide:slice(3, 23, 23) }, 3)
        assert((seen - whole):abs():amax():item() == 0)
        """)
      let outcome = try lunerv(scratch, ["run", script])
      #expect(outcome.code == 0, "\(outcome.err)")
    }

    /// From another folder, without any settings: the library is embedded in the program, and a
    /// script's own folder is searched for its modules.
    @Test func anywhere() throws {
      #expect(mkdir(scratch["scripts"], 0o700) == 0 && mkdir(scratch["elsewhere"], 0o700) == 0)
      try scratch.file("scripts/mine.lua", "return { answer = 42 }")
      try scratch.file(
        "scripts/main.lua",
        """
        local lv = require "lunerv"
        assert(require("mine").answer == 42)
        assert(lv.nn.Conv2d and lv.train and lv.models.hnerv and lv.interop and lv.options)
        io.open("here", "w"):close()
        print(arg[0], ...)
        """)
      let run = try lunerv(
        scratch, ["run", "../scripts/main.lua", "a b", "--flag"], folder: scratch["elsewhere"])
      #expect(run.code == 0, "\(run.err)")
      #expect(run.out == "../scripts/main.lua\ta b\t--flag\n")
      #expect(exists(scratch["elsewhere/here"]))
    }
  }
}
