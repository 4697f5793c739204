import Glibc
import Testing

extension RobustnessTests {
  /// What is read is not written over, and what cannot be written is refused before training.
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
          #expect(outcome.err.contains("expected another file than the source"), "\(outcome.err)")
          #expect(outcome.seconds < 2)
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
        #expect(outcome.seconds < 2)
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
      // A fit's videos lie in its folder, as its clip may.
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
  }
}
