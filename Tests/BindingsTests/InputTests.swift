// Messages for bad input, and the files left by a full disk.
import Glibc
import Testing

extension RobustnessTests {
  /// Every mistake gives one clear line and the right exit code, and leaves no partial file.
  @Suite(.needsProgram) struct InputTests {
    let scratch: Scratch
    let out: String

    init() throws {
      scratch = try Scratch()
      out = scratch["out"]
    }

    func clip() throws -> String { try scratch.file("clip.y4m", y4m(32, 24, 4)) }

    func regress(_ clip: String, _ rest: String..., fileBlocks: Int? = nil) throws -> Outcome {
      try lunerv(
        scratch, ["run", Program.regress, clip, "--out", out, "--epochs", "1"] + tiny + rest,
        fileBlocks: fileBlocks)
    }

    /// Expects one line that begins with the program's name and contains each of `texts`. It names
    /// no line of a script, unless that script is the user's own.
    func expectOneLine(
      _ outcome: Outcome, code: Int32, _ texts: String..., script: String = "",
      at location: SourceLocation = #_sourceLocation
    ) {
      #expect(outcome.code == code, "\(outcome.err)", sourceLocation: location)
      #expect(outcome.errorLines.count == 1, "\(outcome.err)", sourceLocation: location)
      #expect(outcome.err.hasPrefix("lunerv: "), "\(outcome.err)", sourceLocation: location)
      let named = outcome.err.split(separator: script.isEmpty ? "\n" : script + ":")
        .joined(separator: "")
      #expect(!named.contains(".lua:"), "\(outcome.err)", sourceLocation: location)
      if !script.isEmpty {
        #expect(outcome.err.contains(script + ":"), "\(outcome.err)", sourceLocation: location)
      }
      for text in texts {
        #expect(outcome.err.contains(text), "\(outcome.err)", sourceLocation: location)
      }
    }

    // MARK: Clips

    @Test func notAVideo() throws {
      let text = try scratch.file("text.mkv", "This is not a video.\n")
      let none = try scratch.file("none.y4m", Array(y4m(32, 24, 1)[..<40]))
      let header = y4m(32, 24, 1).firstIndex(of: 10).map { $0 + 1 } ?? 0
      let zero = try scratch.file("zero.y4m", Array(y4m(32, 24, 1)[..<header]))
      let absurd = try scratch.file(
        "absurd.y4m", "YUV4MPEG2 W1000000 H1000000 F25:1 Ip A1:1 C444\nFRAME\nxxxx")
      let sound = try scratch.file("sound.wav", wav())
      let empty = try scratch.file("empty.mp4", "")
      expectOneLine(try regress(scratch["missing.mkv"]), code: 1, "missing.mkv", "no such file")
      expectOneLine(try regress(text), code: 1, "text.mkv: ")
      expectOneLine(try regress(none), code: 1, "none.y4m: ")
      expectOneLine(try regress(zero), code: 1, "zero.y4m: no frame can be read")
      expectOneLine(try regress(absurd), code: 1, "absurd.y4m: ", "1000000x1000000")
      expectOneLine(try regress(sound), code: 1, "sound.wav: holds no video stream, only audio")
      expectOneLine(try regress(empty), code: 1, "empty.mp4: the file is empty")
      expectOneLine(try regress(""), code: 1, "the path is empty")
      #expect(names(in: out).isEmpty)
    }

    @Test func truncated() throws {
      let whole = y4m(32, 24, 4)
      let cut = try scratch.file("cut.y4m", Array(whole[..<(whole.count - 1000)]))
      expectOneLine(try regress(cut), code: 1, "cut.y4m: truncated or damaged: 3 of 4 frames")
      #expect(names(in: out).isEmpty)
    }

    @Test func framesThatChangeSize() throws {
      let script = try scratch.file(
        "frames.lua",
        """
        local lv = require "lunerv"
        lv.make_dirs(arg[1] .. "/mixed")
        for i, width in ipairs { 32, 32, 36 } do
          local folder = ("%s/%d/"):format(arg[1], i)
          local writer <close> = assert(lv.video.writer(folder, { width = width, height = 24 }))
          writer:write(lv.zeros(1, 3, 24, width))
          writer:close()
          lv.rename(folder .. "frame_00001.png", ("%s/mixed/%d.png"):format(arg[1], i))
        end
        """)
      let made = try lunerv(scratch, ["run", script, scratch.path])
      #expect(made.code == 0, "\(made.err)")
      expectOneLine(
        try regress(scratch["mixed"]), code: 1,
        "expected frames of 32x24, got one of 36x24 after 2 frames")
      #expect(names(in: out).isEmpty)
    }

    @Test func partsThatTheClipLacks() throws {
      let clip = try clip()
      expectOneLine(try regress(clip, "--frames", "9,12"), code: 1, "there are only 4 frames")
      expectOneLine(try regress(clip, "--crop", "1,1,400,400"), code: 1, "expected a crop within")
      expectOneLine(try regress(clip, "--resize", "60000,60000"), code: 1, "60000x60000")
      expectOneLine(try regress(clip, "--resize", "3,3"), code: 1, "3x3", "at least 5 pixels")
      #expect(names(in: out).isEmpty)
    }

    // MARK: Command lines

    @Test func commandLines() throws {
      expectOneLine(try lunerv(scratch, ["frobnicate"]), code: 2, "unknown command 'frobnicate'")
      expectOneLine(try lunerv(scratch, ["--frobnicate"]), code: 2, "--frobnicate")
      expectOneLine(try lunerv(scratch, ["run"]), code: 2, "expected a script")
      let clip = try clip()
      expectOneLine(
        try lunerv(scratch, ["run", Program.regress, clip]), code: 2, "--out is missing")
      expectOneLine(
        try lunerv(scratch, ["run", Program.regress, "--out", out]), code: 2, "CLIP is missing")
      expectOneLine(
        try regress(clip, "--model", "nerf"), code: 2, "unknown model 'nerf'", "hnerv_boost")
      expectOneLine(
        try regress(clip, "--epoch", "3"), code: 2, "unknown option '--epoch'", "--epochs")
      expectOneLine(try regress(clip, "another"), code: 2, "'another'")
      #expect(!exists(out))
      let help = try lunerv(scratch, ["--help"])
      #expect(help.code == 0 && help.err.isEmpty && help.out.contains("run"))
      let regressHelp = try lunerv(scratch, ["run", Program.regress, "--help"])
      #expect(regressHelp.code == 0 && !regressHelp.out.contains("--enc-dim"))
      let all = try lunerv(scratch, ["run", Program.regress, "--help", "--all"])
      #expect(all.code == 0 && all.out.contains("--enc-dim"))
    }

    @Test(arguments: [
      "--strides 0,2", "--strides 2.5,2", "--strides -2,2", "--strides two", "--fc-dim 0",
      "--fc-dim 100000000", "--enc-dim 64", "--enc-dim 8,-1", "--dec-blks 0", "--reduce 0",
      "--size -1", "--params 0", "--frames 0", "--frames 3,1", "--crop 0,0,4,4", "--resize 0,0",
      "--lr 0", "--lr nan", "--warmup 5", "--epochs 0", "--epochs 1e18", "--threads 0",
      "--threads 100000", "--seed 1e30", "--seed -1", "--checkpoint-every -1", "--cache -1",
      "--act relux", "--out-image red", "--loss l3",
    ]) func impossibleValues(_ option: String) throws {
      let words = option.split(separator: " ").map(String.init)
      let outcome = try regress(clip(), words[0], words[1])
      expectOneLine(outcome, code: 2, "\(words[0]): ", "'\(words[1])'")
      #expect(!exists(out))
    }

    @Test func argumentsThatAreNoText() throws {
      let wrong = Array(scratch.path.utf8) + [UInt8(ascii: "/"), 0xff, 0xfe]
      let regress = Array(Program.regress.utf8)
      for arguments in [
        [Array("run".utf8), wrong], [[0xff]],
        [Array("run".utf8), regress, wrong, Array("--out".utf8), Array(out.utf8)],
        [Array("run".utf8), regress, Array(try clip().utf8), Array("--out".utf8), wrong],
      ] {
        let outcome = try Running(scratch, bytes: arguments).outcome()
        expectOneLine(outcome, code: 2, "is not valid UTF-8")
      }
      #expect(!exists(out))
    }

    // MARK: Scripts

    @Test func scriptsThatCannotRun() throws {
      let absent = try lunerv(scratch, ["run", scratch["absent.lua"]])
      #expect(absent.code == 1 && absent.errorLines.count == 1, "\(absent.err)")
      #expect(absent.err.contains("absent.lua: No such file"))
      let script = try scratch.file("wrong.lua", "local a = 1\nlocal b = = 2\n")
      let wrong = try lunerv(scratch, ["run", script])
      #expect(wrong.code == 1 && wrong.errorLines.count == 1, "\(wrong.err)")
      #expect(wrong.err.hasPrefix("lunerv: \(script):2: unexpected symbol near '='"))
      let folder = try lunerv(scratch, ["run", scratch.path])
      #expect(folder.code == 1 && folder.errorLines.count == 1, "\(folder.err)")
    }

    /// A mistake in a script is reported with its line, the module's path and a traceback.
    @Test func mistakesInScripts() throws {
      let script = try scratch.file(
        "t.lua",
        """
        local lv = require "lunerv"
        local nn = lv.nn
        local Block = nn.class "Block"
        function Block:init(c) self.conv = nn.Conv2d(4, c, { kernel = 3 }) end
        function Block:forward(x) local y = self.conv(x) return y end
        local Decoder = nn.class "Decoder"
        function Decoder:init() self.body = nn.List { nn.Conv2d(3, 3, { kernel = 1 }), Block(8) } end
        function Decoder:forward(x)
          for _, part in ipairs(self.body) do x = part(x) end
          return x
        end
        Decoder()(lv.zeros(1, 3, 8, 8))
        """)
      let shapes = try lunerv(scratch, ["run", script])
      #expect(shapes.code == 1)
      let first = shapes.errorLines.first ?? ""
      #expect(
        first.hasPrefix(
          "lunerv: \(script):5: Decoder.body[2].conv: conv2d: expected x with 4 channels"),
        "\(shapes.err)")
      #expect(first.hasSuffix("got 3"), "\(first)")
      #expect(shapes.errorLines.dropFirst().first == "stack traceback:")
      #expect(shapes.err.contains("t.lua:12: in main chunk"), "\(shapes.err)")

      let typo = try lunerv(
        scratch, ["run", try scratch.file("u.lua", "local lv = require 'lunerv'\nlv.zerso(1)\n")])
      #expect(typo.code == 1)
      #expect(typo.errorLines.first?.contains("u.lua:2: ") == true, "\(typo.err)")
      #expect(typo.errorLines.dropFirst().first == "stack traceback:")

      // Failures that are not the script's fault have no traceback.
      let io = try lunerv(
        scratch,
        ["run", try scratch.file("v.lua", "assert(require('lunerv').video.open('/no/clip.mkv'))")])
      expectOneLine(io, code: 1, "/no/clip.mkv: there is no such file", script: "v.lua")
      // More memory than the machine has: an error before anything is allocated.
      let memory = try lunerv(
        scratch,
        ["run", try scratch.file("w.lua", "require('lunerv').zeros(1000000, 100000)")])
      #expect(memory.code == 1 && memory.errorLines.count == 1, "\(memory.err)")
      #expect(memory.err.contains("w.lua:1: zeros: "), "\(memory.err)")
    }

    // MARK: Numbers

    @Test func aLossThatIsNaN() throws {
      let script = try scratch.file(
        "nan.lua",
        """
        local lv = require "lunerv"
        local clip <close> = assert(lv.video.open(arg[1]))
        local calls = 0
        lv.seed(1)
        lv.train {
          model = lv.models.hnerv { clip = clip, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 2, 2 } },
          clip = clip, out = arg[2], epochs = 3, checkpoint_steps = 4,
          loss = function(output, image)
            calls = calls + 1
            return lv.loss.l2(output, image) * (calls == 10 and 0 / 0 or 1)
          end,
        }
        """)
      let outcome = try lunerv(scratch, ["run", script, try clip(), out])
      expectOneLine(
        outcome, code: 1, "the loss became nan after step 9",
        "the last good checkpoint is \(out)/checkpoint-000008.safetensors", script: "nan.lua")
      let left = names(in: out).filter { !$0.hasPrefix("events.") }
      #expect(
        left == ["checkpoint-000004.safetensors", "checkpoint-000008.safetensors", "run.json"])
    }

    // MARK: Full disks

    /// Whether a folder contains only the events and the record of a run.
    private func isWithoutCheckpoint(_ names: [String]) -> Bool {
      names.allSatisfy { $0.hasPrefix("events.") || $0 == "run.json" }
    }

    /// A limit on the file size replaces a full disk; the kernel refuses both in the same way.
    @Test func fullDisk() throws {
      // A checkpoint needs about 300 kB, events less than 2 kB.
      let checkpoint = try regress(try clip(), fileBlocks: 32)
      expectOneLine(checkpoint, code: 1, "the checkpoint could not be written: ", "File too large")
      #expect(isWithoutCheckpoint(names(in: out)), "\(names(in: out))")
    }

    @Test func fullDiskDuringVideoOutput() throws {
      // Noise in large frames makes a video larger than the checkpoint.
      let script = try scratch.file(
        "write.lua",
        """
        local lv = require "lunerv"
        local writer <close> = assert(lv.video.writer(arg[1], { width = 64, height = 64, fps = 25 }))
        for _ = 1, 40 do writer:write(lv.rand(1, 3, 64, 64)) end
        writer:close()
        """)
      for name in ["a.mkv", "b.y4m", "c.rgb", "frames/"] {
        let outcome = try lunerv(
          scratch, ["run", script, scratch[name]], fileBlocks: name == "frames/" ? 8 : 100)
        expectOneLine(
          outcome, code: 1, name.hasSuffix("/") ? "frames" : name, "File too large",
          script: "write.lua")
        let stem = name.prefix { $0 != "." && $0 != "/" }
        let left = names(in: scratch.path)
        #expect(!left.contains { $0.hasPrefix(stem) || $0.hasPrefix("." + stem) }, "\(left)")
      }
    }

    /// A real full file system, if the tests are allowed to mount one.
    @Test func fullFileSystem() throws {
      #expect(mkdir(out, 0o700) == 0)
      guard mount("none", out, "tmpfs", 0, "size=64k") == 0 else {
        print("skipped: a full file system (mounting needs root)")
        return
      }
      defer { umount2(out, Int32(MNT_DETACH)) }
      expectOneLine(
        try regress(try clip()), code: 1, "the checkpoint could not be written: ",
        "no space left on device")
      #expect(isWithoutCheckpoint(names(in: out)), "\(names(in: out))")
    }
  }
}
