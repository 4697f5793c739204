// The commands around scripts: versions, doctor, wrong arguments, completion, -e and --watch.
import Glibc
import Testing

extension RobustnessTests {
  @Suite(.needsProgram) struct CommandTests {
    let scratch: Scratch
    init() throws { scratch = try Scratch() }

    @Test func versions() throws {
      let outcome = try lunerv(scratch, ["--version"])
      #expect(outcome.code == 0)
      for word in ["lunerv 0.", "API 2", "format 1", "Lua 5.4", "OpenBLAS", "fftw-", "libav "] {
        #expect(outcome.out.contains(word), "\(outcome.out)")
      }
    }

    @Test func doctorSaysJSON() throws {
      let outcome = try lunerv(scratch, ["doctor", "--json", "--no-timing"])
      #expect(outcome.code == 0, "\(outcome.err)")
      #expect(lines(of: outcome.out).count == 1)
      let script = try scratch.file(
        "read.lua",
        """
        local text = assert(io.open(arg[1])):read "a"
        local looked = require("lunerv").json.decode(text)
        assert(looked.usable == true and looked.versions.api == 2)
        for _, found in ipairs(looked.findings) do assert(found.name and found.text) end
        print(#looked.findings)
        """)
      let file = try scratch.file("doctor.json", outcome.out)
      #expect(try lunerv(scratch, ["run", script, file]).out == "10\n")
    }

    @Test(arguments: [
      (["compres"], "unknown command 'compres': did you mean 'compress'"),
      (["--versoin"], "unknown option '--versoin': did you mean '--version'?"),
      (["bench", "--modl", "x"], "unknown option '--modl': did you mean '--model'?"),
      (["run", "--wacth", "x.lua"], "unknown option '--wacth': did you mean '--watch'?"),
      (
        ["compress", "a", "--modl", "x"],
        "unknown option '--modl': did you mean '--model'? (see --help --all)"
      ),
      (
        ["compress", "a", "--model", "hnrev"],
        "unknown model 'hnrev': did you mean 'hnerv'? (known"
      ),
    ]) func nearestNamesComeFirst(_ words: [String], _ message: String) throws {
      let outcome = try lunerv(scratch, words)
      #expect(outcome.code == 2)
      #expect(outcome.err.hasPrefix("lunerv: " + message), "\(outcome.err)")
      #expect(outcome.errorLines.count == 1)
    }

    @Test func codeRuns() throws {
      let outcome = try lunerv(
        scratch, ["run", "-e", "print(lv.ones(2):sum():item(), nn ~= nil, ...)", "b", "--word"])
      #expect(outcome.out == "2.0\ttrue\tb\t--word\n", "\(outcome.err)")
      let script = try scratch.file("arg.lua", "print(table.concat(arg, ' '))")
      #expect(try lunerv(scratch, ["run", script, "-i", "--version"]).out == "-i --version\n")
      #expect(try lunerv(scratch, ["run"]).code == 2)
      #expect(try lunerv(scratch, ["run", "-e", "error 'no'"]).code == 1)
    }

    @Test(arguments: [
      (["comp"], ["compress", "completion"]), (["compress", "--scene"], ["--scene-cuts"]),
      (["compress", "--model", "hnerv_"], ["hnerv_boost"]),
      (["run", "scripts/regress.lua", "--epo"], ["--epochs"]), (["run", "--wa"], ["--watch"]),
      (["bench", "--no-t"], ["--no-torch"]), (["completion", "z"], ["zsh"]),
      (["info", ""], [":files"]),
    ]) func shellsGetCompletions(_ words: [String], _ expected: [String]) throws {
      let outcome = try lunerv(scratch, ["completion", "words", "--"] + words)
      #expect(outcome.code == 0, "\(outcome.err)")
      let found = lines(of: outcome.out).map { String($0.prefix { $0 != "\t" }) }
      for name in expected { #expect(found.contains(name), "\(found)") }
    }

    @Test func bashCompletes() throws {
      let line =
        "PATH='\(Program.path.dropLast("/lunerv".count))':$PATH; "
        + "eval \"$(lunerv completion bash)\"; COMP_WORDS=(lunerv decompress --max-w); COMP_CWORD=2; "
        + "_lunerv; echo \"${COMPREPLY[@]}\" > '\(scratch["out"])'"
      try scratch.file("line.sh", line)
      #expect(run(shell: "bash '\(scratch["line.sh"])'") == 0)
      #expect(try text(of: scratch["out"]) == "--max-work\n")
    }

    @Test func theManPageHasEveryCommand() throws {
      let page = try lunerv(scratch, ["completion", "man"])
      #expect(page.code == 0, "\(page.err)")
      #expect(page.out.hasPrefix(".TH LUNERV 1"))
      for command in ["run", "repl", "compress", "decompress", "info", "eval", "bench", "doctor"] {
        #expect(page.out.contains(".SS lunerv \(command)"))
      }
      #expect(page.out.contains("\\fB\\-\\-max\\-memory\\fR"))
    }

    // MARK: - Watching

    /// Replaces a file atomically, as editors do.
    func replace(_ name: String, _ text: String) throws {
      let new = try scratch.file("new", text)
      #expect(rename(new, scratch[name]) == 0)
    }

    @Test func aChangeRunsTheScriptAgain() throws {
      try scratch.file("part.lua", "return 'first'")
      let data = try scratch.file("data.txt", "one")
      let script = try scratch.file(
        "main.lua",
        """
        local lv = require "lunerv"
        print(require "part", lv.read_file(arg[1]))
        """)
      let running = try start(scratch, ["run", "--watch", script, data])
      func shows(_ wanted: String, _ stream: String) -> Bool {
        running.wait { (try? text(of: stream).contains(wanted)) == true }
      }
      let (out, err) = (running.outPath, running.errPath)
      // A run that is not yet over when the script changes is stopped, and is not done.
      func done(_ count: Int) -> Bool {
        running.wait { (try? text(of: err).components(of: "done\n")) == count }
      }
      #expect(shows("first\tone\n", out))
      #expect(done(1))
      try replace("part.lua", "return 'second'")
      #expect(shows("second\tone\n", out))
      #expect(shows("watch: \(scratch["part.lua"]) changed\n", err))
      #expect(done(2))
      // A file with an error waits for the next change.
      try replace("part.lua", "return = 'third'")
      #expect(shows("ended with 1\n", err))
      try replace("part.lua", "return 'fourth, at last'")
      #expect(shows("fourth, at last\tone\n", out))
      #expect(done(3))
      try replace("data.txt", "another")
      #expect(shows("fourth, at last\tanother\n", out))
      // A run that does not end is stopped.
      #expect(done(4))
      try replace("main.lua", "print 'endless' io.stdout:flush() while true do end")
      #expect(shows("endless\n", out))
      try replace("main.lua", "print 'over'")
      #expect(shows("over\n", out))
      running.send(SIGINT)
      #expect(try running.outcome().code == 130)
    }
  }
}

extension String {
  /// How often a text is in this one.
  fileprivate func components(of text: String) -> Int { ranges(of: text).count }
}
