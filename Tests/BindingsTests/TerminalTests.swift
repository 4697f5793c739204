// The prompt, driven through a terminal, and its behaviour without one.
import Glibc
import Testing

extension RobustnessTests {
  @Suite(.needsProgram) struct TerminalTests {
    let scratch: Scratch
    init() throws { scratch = try Scratch() }

    let interrupt = "\u{3}"
    let end = "\u{4}"

    @Test func historyOutlivesTheSession() throws {
      let first = try Terminal(scratch)
      first.enter("40+2")
      first.expect("\n42\n")
      first.enter("for i = 1, 1 do")
      first.expect("  > ")
      first.type("print(10 * 10) end\n")
      first.expect("\n100\n")
      first.expect("lv> ")
      first.type(end)
      #expect(first.exitCode() == 0)
      #expect(
        try text(of: scratch["history"]) == "40+2\nfor i = 1, 1 do print(10 * 10) end\n")

      let second = try Terminal(scratch)
      second.expect("lv> ")
      second.type("\u{1b}[A\n")
      second.expect("\n100\n")
      second.expect("lv> ")
      second.type("\u{1b}[A\u{1b}[A\n")
      second.expect("\n42\n")
    }

    @Test func historyThatCannotBeWrittenIsDoneWithout() throws {
      let file = try scratch.file("file", "")
      let prompt = try Terminal(scratch, environment: ["LUNERV_HISTORY": file + "/history"])
      prompt.enter("40+2")
      prompt.expect("\n42\n")
      prompt.expect("lv> ")
      prompt.type(end)
      #expect(prompt.exitCode() == 0)
    }

    @Test func tabCompletes() throws {
      try scratch.file("a long name", "text")
      let prompt = try Terminal(scratch)
      prompt.enter("lv.conv2\t == lv.conv2d")
      prompt.expect("\ntrue\n")
      prompt.enter("x = lv.ones(6, 7)")
      prompt.enter("x:nume\t()")
      prompt.expect("\n42\n")
      prompt.enter("nn.Sequ\t == nn.Sequential and 'of nn'")
      prompt.expect("\n\"of nn\"\n")
      prompt.enter("lv.read_file('\(scratch.path)/a l\t')")
      prompt.expect("\n\"text\"\n")
      // Several completions are listed, and the line is shown again.
      prompt.expect("lv> ")
      prompt.type("nn.Conv\t")
      prompt.expect("ConvNeXtBlock")
      prompt.expect("lv> nn.Conv")
      prompt.type("2d == nn.Conv2d and 'listed'\n")
      prompt.expect("\n\"listed\"\n")
    }

    @Test func interruptsKeepTheSession() throws {
      let prompt = try Terminal(scratch)
      prompt.enter("kept = 42")
      prompt.enter("print('run' .. 'ning') while true do end")
      prompt.expect("running")
      prompt.type(interrupt)
      prompt.expect("prompt:2: interrupted")
      prompt.enter("kept")
      prompt.expect("\n42\n")
      // An error in a module's forward; later errors do not name that module's path.
      prompt.enter("Block = nn.class 'Block'")
      prompt.enter("function Block:forward() print('in' .. 'side') while true do end end")
      prompt.enter("Block()()")
      prompt.expect("inside")
      prompt.type(interrupt)
      prompt.expect("interrupted")
      prompt.enter("error('plain')")
      prompt.expect("\nprompt:7: plain\n")
      prompt.enter("nn.Linear(1, 1):foward(2)")
      prompt.expect("\nprompt:8: Linear has no method 'foward': did you mean 'forward'?")
      // At the prompt it clears the line, and the lines typed so far of a longer chunk.
      prompt.expect("lv> ")
      prompt.type("error('never')")
      prompt.expect("never')")
      prompt.type(interrupt)
      prompt.enter("if true then")
      prompt.expect("  > ")
      prompt.type(interrupt)
      prompt.enter("kept + 1")
      prompt.expect("\n43\n")
      prompt.expect("lv> ")
      prompt.type(end)
      #expect(prompt.exitCode() == 0)
    }

    /// While a training step is being saved, the first Ctrl-C is deferred; a second one takes
    /// effect.
    @Test func theSecondInterruptOfARunKills() throws {
      let prompt = try Terminal(scratch)
      prompt.enter("shield = require('lunerv.bridge').shield")
      prompt.enter("shield(function() print('shiel' .. 'ded') while true do end end)")
      prompt.expect("shielded")
      prompt.type(interrupt)
      try prompt.expectInterruptTaken()
      prompt.type(interrupt)
      #expect(prompt.exitCode() == 128 + SIGINT)
    }

    @Test func trainingStopsAndTheModelStays() throws {
      let clip = try scratch.file("clip.y4m", y4m(16, 12, 4))
      let prompt = try Terminal(scratch)
      prompt.enter("clip = lv.video.open '\(clip)'")
      prompt.enter(
        "m = lv.models.hnerv { clip = clip, strides = {2,2}, fc_dim = 4, enc_dim = {4,2} }")
      prompt.enter(
        "lv.train { model = m, clip = clip, epochs = 1000000, "
          + "on_step = function(s) if s.step == 3 then print('tra' .. 'ins') end end }")
      prompt.expect("trains")
      prompt.type(interrupt)
      prompt.expect("interrupted")
      prompt.enter("m:parameter_count() > 0 and 'still here'")
      prompt.expect("\n\"still here\"\n")
    }

    @Test func aScriptsGlobalsAreThere() throws {
      let script = try scratch.file("broken.lua", "answer = 42\nerror('after all')\n")
      let prompt = try Terminal(scratch, ["run", "-i", script, "word"])
      prompt.expect("broken.lua:2: after all")
      prompt.enter("answer")
      prompt.expect("\n42\n")
      prompt.enter("arg[1]")
      prompt.expect("\n\"word\"\n")
    }

    @Test func narrowTerminals() throws {
      let prompt = try Terminal(scratch, columns: 40, environment: ["TERM": "dumb"])
      prompt.enter("lv.randn(3, 30)")
      prompt.expect("f32 (3, 30)")
      prompt.enter("lv.arange(1, 30):tolist()")
      prompt.expect("30")
      prompt.enter("lv.nn.Linear(2, 3)")
      prompt.expect("9 parameters")
      prompt.expect("lv> ")
      for line in lines(of: prompt.text) where !line.contains("mean") {
        #expect(line.count <= 40, "\(line)")
      }
      #expect(!prompt.bytes.contains(0x1b))
    }

    /// The description of a tensor is grey, unless the user has disabled that.
    @Test(arguments: [
      (["TERM": "xterm"], true), (["TERM": "xterm", "NO_COLOR": "1"], false),
      (["TERM": "dumb"], false),
    ]) func colours(_ environment: [String: String], _ expected: Bool) throws {
      let prompt = try Terminal(scratch, environment: environment)
      prompt.enter("lv.ones(2)")
      prompt.expect("mean 1")
      prompt.expect("lv> ")
      let shown = String(decoding: prompt.bytes, as: UTF8.self)
      #expect(shown.contains("\u{1b}[2m") == expected, "\(shown)")
      if environment["TERM"] == "dumb" { #expect(!prompt.bytes.contains(0x1b)) }
    }

    /// Results are written to standard output alone, with nothing else.
    @Test func logFiles() throws {
      let log = scratch["log"]
      let prompt = try Terminal(scratch, shell: "exec '\(Program.path)' repl > '\(log)'")
      prompt.enter("lv.ones(2)")
      prompt.enter("40+2")
      prompt.expect("lv> ")
      prompt.type(end)
      #expect(prompt.exitCode() == 0)
      let written = lines(of: try text(of: log))
      #expect(written.contains("1  1"), "\(written)")
      #expect(written.contains("42"), "\(written)")
      #expect(!(try bytes(of: log)).contains(0x1b))
    }

    @Test func hostileStringsAreEscaped() throws {
      let prompt = try Terminal(scratch, environment: ["TERM": "dumb"])
      prompt.enter("'a\\27[31mb\\xff'")
      prompt.expect("\n\"a\\x1B[31mb\\xFF\"\n")
      prompt.enter("error('c\\27[31md')")
      prompt.expect("c\\u{1B}[31md")
      #expect(!prompt.bytes.contains(0x1b))
    }

    // MARK: - Pipes

    func piped(_ input: String) throws -> Outcome {
      let file = try scratch.file("in", input)
      let code = run(
        shell: "cat '\(file)' | '\(Program.path)' repl > '\(scratch["out"])' "
          + "2> '\(scratch["err"])'")
      return Outcome(
        code: code, out: try text(of: scratch["out"]), err: try text(of: scratch["err"]),
        seconds: 0)
    }

    @Test func pipesGetResultsAlone() throws {
      let outcome = try piped("1+1\n")
      #expect(outcome.out == "2\n")
      #expect(outcome.err.isEmpty, "\(outcome.err)")
      #expect(outcome.code == 0)
    }

    @Test func aFailingLineIsReportedAndTheRestRuns() throws {
      let outcome = try piped("local x <const> = 1\nerror 'no'\nx + 1\ny = = 1\nif x then\n")
      #expect(outcome.out == "2\n")
      let errors = lines(of: outcome.err)
      #expect(errors.count == 3, "\(errors)")
      #expect(errors.first == "stdin:2: no")
      #expect(errors.dropFirst().first?.hasPrefix("stdin:4: ") == true)
      #expect(errors.last?.hasPrefix("stdin:5: ") == true)
      #expect(outcome.code == 1)
    }
  }
}
