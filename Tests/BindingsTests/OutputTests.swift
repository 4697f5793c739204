// What the program writes: sources and other files stay, nothing is left half written, terminals.
import Glibc
import Testing

extension RobustnessTests {
  /// Inputs are not overwritten, and outputs that cannot be written are rejected before training.
  @Suite(.needsProgram) struct OutputTests {
    let scratch: Scratch
    let clip: String
    let source: [UInt8]

    init() throws {
      scratch = try Scratch()
      source = y4m(32, 24, 4)
      clip = try scratch.file("clip.y4m", source)
    }

    func compress(_ output: String, _ more: [String] = []) throws -> Outcome {
      try lunerv(
        scratch, ["compress", clip, "-o", output, "--epochs", "1000000"] + tiny + more,
        folder: scratch.path)
    }

    @Test func theSourceStays() throws {
      #expect(symlink(clip, scratch["link.lnv"]) == 0)
      #expect(link(clip, scratch["second.lnv"]) == 0)
      let folder = scratch.path.split(separator: "/").last ?? ""
      for output in ["clip.y4m", clip, "./../\(folder)/clip.y4m", "link.lnv", "second.lnv"] {
        for more in [[], ["--gop", "2"], ["--bytes", "100000"]] {
          let outcome = try compress(output, more)
          #expect(outcome.code == 2, "\(output): \(outcome.err)")
          #expect(outcome.err.contains("expected a file other than the source"), "\(outcome.err)")
          #expect(outcome.seconds < 2 * patience)
          #expect(try bytes(of: clip) == source)
          #expect(!names(in: scratch.path).contains { $0.hasSuffix(".work") })
        }
      }
    }

    @Test func whatCannotBeWrittenIsRefusedAtOnce() throws {
      #expect(mkdir(scratch["folder"], 0o777) == 0)
      for output in ["folder", "missing/x.lnv", "/proc/x.lnv", "clip.y4m/x.lnv"] {
        let outcome = try compress(output)
        #expect(outcome.code == 1, "\(output): \(outcome.err)")
        #expect(outcome.err.hasPrefix("lunerv: cannot "), "\(output): \(outcome.err)")
        #expect(outcome.err.contains("'\(output)'"), "\(outcome.err)")
        #expect(outcome.seconds < 2 * patience)
      }
      let outcome = try compress("x.lnv", ["--bytes", "4000000000000000000"])
      #expect(outcome.err.contains("no space left"), "\(outcome.err)")
      #expect(!names(in: scratch.path).contains { $0.hasSuffix(".tmp") || $0.hasSuffix(".work") })
    }

    @Test func othersKeepTheirSources() throws {
      let file = scratch["x.lnv"]
      let made = try lunerv(
        scratch, ["compress", clip, "-o", file, "--epochs", "1", "--compress-epochs", "1"] + tiny)
      #expect(made.code == 0, "\(made.err)")
      let before = try bytes(of: file)
      #expect(link(file, scratch["y.mkv"]) == 0)
      for output in [file, scratch["y.mkv"]] {
        let outcome = try lunerv(scratch, ["decompress", file, "-o", output])
        #expect(outcome.code == 2, "\(outcome.err)")
        #expect(try bytes(of: file) == before)
      }
      // A fit writes its videos into its folder, where its clip may be too.
      let video = scratch["reconstruction.mkv"]
      #expect(try lunerv(scratch, ["decompress", file, "-o", video]).code == 0)
      let picture = try bytes(of: video)
      let script = try scratch.file(
        "fit.lua",
        """
        local lv = require "lunerv"
        local o = lv.options.parse(arg, { command = "regress", usage = "", about = "",
          positional = { "clip" }, required = { "out" } })
        local clip <close> = lv.tasks.open(o)
        lv.tasks.fit(clip, lv.tasks.regression(clip), o, print)
        """)
      let fitted = try lunerv(
        scratch, ["run", script, video, "--out", scratch.path, "--epochs", "1"] + tiny)
      #expect(fitted.code == 2, "\(fitted.err)")
      #expect(try bytes(of: video) == picture)
    }

    /// Partial files vanish with the process, however it ends.
    @Test func anExitLeavesNothingHalfWritten() throws {
      let script = try scratch.file(
        "leave.lua",
        """
        local lv = require "lunerv"
        local folder = arg[1]
        for _, name in ipairs { "a.mkv", "b.y4m", "frames" } do
          local writer = assert(lv.video.writer(folder .. "/" .. name, { width = 32, height = 24 }))
          writer:write(lv.zeros(1, 3, 24, 32))
          _G[name] = writer
        end
        if arg[2] == "exit" then os.exit(7) end
        error "done"
        """)
      #expect(mkdir(scratch["out"], 0o777) == 0)
      #expect(try lunerv(scratch, ["run", script, scratch["out"], "exit"]).code == 7)
      #expect(names(in: scratch["out"]).isEmpty, "\(names(in: scratch["out"]))")
      #expect(try lunerv(scratch, ["run", script, scratch["out"], "error"]).code == 1)
      #expect(names(in: scratch["out"]).isEmpty, "\(names(in: scratch["out"]))")
    }

    /// A sudden end of the process has a line too: a mapped file that can no longer be read, a
    /// library that aborts.
    @Test func suddenEndsAreNamed() throws {
      let script = try scratch.file(
        "cut.lua",
        """
        local lv = require "lunerv"
        local clip = assert(lv.video.open(arg[1], { cache = 1 }))
        os.execute([[for file in /proc/$PPID/fd/*; do
          case $(readlink "$file") in *'(deleted)') : >"$file" ;; esac
        done]])
        print(clip:frame(3):sum():item())
        """)
      let cut = try lunerv(scratch, ["run", script, clip])
      #expect(cut.code == 128 + SIGBUS, "\(cut.out)")
      #expect(cut.errorLines.count == 1 && cut.err.hasPrefix("lunerv: a memory-mapped file"))
      let loop = try scratch.file("loop.lua", "print 'here'; io.stdout:flush(); while true do end")
      let run = try start(scratch, ["run", loop])
      #expect(run.wait { (try? text(of: run.outPath)) == "here\n" })
      run.send(SIGABRT)
      let aborted = try run.outcome()
      #expect(aborted.code == 128 + SIGABRT)
      #expect(aborted.errorLines.count == 1 && aborted.err.contains("no more memory"))
    }

    /// Links in a work folder are not this program's, and are not followed.
    @Test func linksInAWorkFolderLeadNowhere() throws {
      let folder = scratch["fit"]
      #expect(mkdir(folder, 0o777) == 0)
      #expect(mkdir(scratch["photos"], 0o777) == 0)
      let photo = try scratch.file("photos/one.png", "a picture")
      #expect(symlink(scratch["photos"], folder + "/.x.0.tmp") == 0)
      #expect(symlink(scratch["photos"], folder + "/.lunerv-0.tmp") == 0)
      for name in ["metrics.json", "reconstruction.mkv", "checkpoint-000004.safetensors"] {
        #expect(symlink(photo, folder + "/" + name) == 0)
      }
      let outcome = try lunerv(
        scratch,
        ["run", Program.regress, clip, "--out", folder, "--epochs", "1"] + tiny)
      #expect(outcome.code == 0, "\(outcome.err)")
      #expect(try text(of: photo) == "a picture")
      #expect(try text(of: folder + "/metrics.json").contains("psnr"))
      #expect(exists(folder + "/.x.0.tmp/one.png"))
    }

    /// If the reader of its output is gone, the run keeps a checkpoint and ends with an error.
    @Test func aClosedPipeKeepsACheckpoint() throws {
      let out = scratch["piped"]
      let words = ["run", Program.regress, clip, "--out", out, "--epochs", "100000"] + tiny
      let line = "'\(Program.path)' " + words.map { "'\($0)'" }.joined(separator: " ")
      #expect(run(shell: "(\(line) 2>'\(scratch["err"])'; echo $? >'\(scratch["code"])') | :") == 0)
      #expect(try text(of: scratch["code"]) == "1\n")
      #expect(try text(of: scratch["err"]).contains("standard output was closed"))
      #expect(names(in: out).contains { $0.hasPrefix("checkpoint-") }, "\(names(in: out))")
    }

    /// A clip that a batch skips is named, even if its file name is not UTF-8.
    @Test func aBatchNamesWhatItLeavesOut() throws {
      #expect(mkdir(scratch["clips"], 0o777) == 0)
      try scratch.file("clips/good.y4m", source)
      try scratch.file("clips/readme.txt", "no video")
      let odd = Array((scratch["clips"] + "/ni").utf8CString.dropLast()) + [-15]
      #expect(symlink(clip, odd + Array("o.y4m".utf8CString)) == 0)
      defer { unlink(odd + Array("o.y4m".utf8CString)) }
      let outcome = try lunerv(
        scratch,
        [
          "run", Program.root + "/scripts/batch.lua", scratch["clips"], "--out", scratch["done"],
          "--epochs", "1", "--compress-epochs", "1",
        ] + tiny)
      #expect(outcome.code == 1)
      #expect(outcome.err.contains("readme.txt"), "\(outcome.err)")
      #expect(outcome.err.contains(#"ni\xF1o.y4m: failed: the name is not UTF-8"#))
      #expect(outcome.out.contains("1 of 2 clips are in"), "\(outcome.out)")
      #expect(exists(scratch["done"] + "/good.lnv"))
    }

    /// Control characters in files and names never reach the terminal.
    @Test func nothingFromAFileSteersATerminal() throws {
      let whole = scratch["whole.lnv"]
      #expect(
        try lunerv(
          scratch,
          ["compress", clip, "-o", whole, "--epochs", "1", "--compress-epochs", "1"] + tiny
        ).code == 0)
      let script = try scratch.file(
        "plant.lua",
        """
        local lv = require "lunerv"
        local kinds, payloads = lv.lnv_unpack(assert(lv.read_file(arg[1])))
        for i, kind in ipairs(kinds) do
          local text = payloads[i]
          if kind == "decoder" then
            text = arg[3] == "name" and text:gsub("^%w+", "hn\\27[31merv")
              or text:gsub('{', '{"act":"\\\\u001b[31m\\\\u009b5n",', 1)
            assert(text ~= payloads[i])
          end
          payloads[i] = text
        end
        assert(lv.write_file(arg[2], lv.lnv_pack(kinds, payloads)))
        """)
      func check(_ words: [String]) throws {
        let outcome = try lunerv(scratch, words)
        let text = outcome.out + outcome.err
        #expect(text.contains("[31m"), "\(words): \(text)")
        #expect(!text.unicodeScalars.contains { $0 == "\u{1B}" || $0 == "\u{9B}" }, "\(words)")
      }
      let planted = scratch["planted.lnv"]
      for place in ["name", "option"] {
        let made = try lunerv(scratch, ["run", script, whole, planted, place])
        #expect(made.code == 0, "\(made.err)")
        try check(["info", planted])
        try check(["info", planted, "--json"])
        try check(["decompress", planted, "-o", scratch["out.mkv"]])
        try check(["eval", planted, clip])
      }
      // Names of tensors, of clips in a folder, and what the command line holds.
      let header = #"{"a\u001b[31m":{"dtype":"XX","shape":[1],"data_offsets":[0,1]}}"#
      let length = (0..<8).map { UInt8(header.utf8.count >> (8 * $0) & 255) }
      try scratch.file("bad.safetensors", length + Array(header.utf8) + [0])
      try check([
        "run", Program.root + "/scripts/decode_published.lua", scratch["bad.safetensors"],
        scratch["out.mkv"],
      ])
      #expect(mkdir(scratch["named"], 0o777) == 0)
      try scratch.file("named/x\u{1B}[31m.mkv", "no video")
      try check([
        "run", Program.root + "/scripts/batch.lua", scratch["named"], "--out", scratch["made"],
      ])
      try check(["decompress", "x\u{1B}[31m.lnv", "-o", scratch["out.mkv"]])
      try check(["compress", clip, "-o", scratch["y.lnv"], "--model", "x\u{1B}[31m"])
    }

    /// A recipe, an image of a folder, a mask, the input of a batch: all that is read stays.
    @Test func everySourceStays() throws {
      let recipe = try scratch.file("mine.lua", "return {}")
      let outcome = try compress(recipe, ["--recipe", recipe])
      #expect(outcome.code == 2 && outcome.err.contains("a file other than the source"))
      #expect(try text(of: recipe) == "return {}")

      let images = scratch["images"]
      let script = try scratch.file(
        "images.lua",
        """
        local lv = require "lunerv"
        local clip <close> = assert(lv.video.open(arg[1]))
        local writer <close> = assert(lv.video.writer(arg[2], { clip = clip }))
        for i = 1, #clip do writer:write(clip:frame(i)) end
        """)
      #expect(try lunerv(scratch, ["run", script, clip, images]).code == 0)
      let first = images + "/frame_00001.png"
      let before = try bytes(of: first)
      let inside = try lunerv(scratch, ["compress", images, "-o", first] + tiny)
      #expect(inside.code == 2, "\(inside.err)")
      #expect(try bytes(of: first) == before)

      let video = try compress("out.mp4")
      #expect(video.code == 2 && video.err.contains("expected a .lnv file"), "\(video.err)")

      // Files that were in a batch's folder before it are not overwritten.
      #expect(mkdir(scratch["all"], 0o777) == 0)
      try scratch.file("all/clip.y4m", source)
      let note = try scratch.file("all/clip.json", "mine")
      let batch = Program.root + "/scripts/batch.lua"
      let refused = try lunerv(scratch, ["run", batch, scratch["all"], "--out", scratch["all"]])
      #expect(refused.code == 2 && refused.err.contains("clip.json"), "\(refused.err)")
      #expect(try text(of: note) == "mine")
    }

    /// Links to folders in a work folder are not followed either.
    @Test func aLinkToAFolderLeadsNowhere() throws {
      let (fit, elsewhere) = (scratch["fit"], scratch["elsewhere"])
      #expect(mkdir(elsewhere, 0o777) == 0)
      let kept = try scratch.file("elsewhere/checkpoint-000001.safetensors", "a year's work")
      let words = ["run", Program.regress, clip, "--out", fit, "--epochs", "1"] + tiny
      #expect(try lunerv(scratch, words).code == 0)
      #expect(symlink(elsewhere, fit + "/previous") == 0)
      #expect(try lunerv(scratch, words).code == 0)
      #expect(try lunerv(scratch, words).code == 0)
      #expect(try text(of: kept) == "a year's work")
      #expect(names(in: elsewhere) == ["checkpoint-000001.safetensors"])
      #expect(names(in: fit + "/previous").count == 1)
    }

    @Test func textThatCannotBeWrittenIsAnError() throws {
      let script = try scratch.file("say.lua", "print(('x'):rep(100000))")
      let line = "'\(Program.path)' run '\(script)' >/dev/full 2>'\(scratch["err"])'"
      #expect(run(shell: line) == 1)
      #expect(try text(of: scratch["err"]).contains("standard output"))
    }
  }
}
