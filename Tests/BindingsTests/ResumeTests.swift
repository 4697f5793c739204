import Glibc
import Testing

/// Tests that start processes run one after another: they measure time and memory.
@Suite(.serialized) struct RobustnessTests {}

extension RobustnessTests {
  /// A run that was stopped and resumed equals an uninterrupted one, bit for bit.
  @Suite(.needsProgram) struct ResumeTests {
    let scratch: Scratch
    let clip: String
    let script: String

    init() throws {
      scratch = try Scratch()
      clip = try scratch.file("clip.y4m", y4m(32, 24, 4))
      // Every loss exactly, to the last bit, written immediately.
      script = try scratch.file(
        "train.lua",
        """
        local lv = require "lunerv"
        local clip_path, out, threads, resume = ...
        lv.set_threads(tonumber(threads))
        lv.seed(3)
        local clip = assert(lv.video.open(clip_path))
        local model = lv.models.hnerv_boost {
          clip = clip, fc_dim = 8, enc_dim = { 8, 4 }, strides = { 2, 2 }, ch_t = 4, pe_levels = 8,
        }
        local log = assert(io.open(out .. ".losses", "a"))
        log:setvbuf "no"
        lv.train {
          model = model, clip = clip, out = out, epochs = 12, checkpoint_steps = 5,
          resume = resume == "resume",
          on_step = function(e) log:write(("%d %a\\n"):format(e.step, e.loss)) end,
        }
        """)
    }

    func arguments(_ out: String, threads: Int = 2, resume: Bool = false) -> [String] {
      ["run", script, clip, scratch[out], "\(threads)"] + (resume ? ["resume"] : [])
    }

    /// Losses by step. A step repeated after a kill must have the same loss.
    func losses(_ out: String) throws -> [Int: String] {
      var losses: [Int: String] = [:]
      for line in lines(of: try text(of: scratch[out] + ".losses")) {
        let words = line.split(separator: " ").map(String.init)
        let step = try #require(words.first.flatMap { Int($0) })
        #expect(losses[step] == nil || losses[step] == words.last, "step \(step)")
        losses[step] = words.last
      }
      return losses
    }

    /// How many steps have been logged so far.
    func steps(_ out: String) -> Int {
      exists(scratch[out] + ".losses") ? (try? losses(out).count) ?? 0 : 0
    }

    func checkpoints(_ out: String) -> [String] {
      names(in: scratch[out]).filter { $0.hasPrefix("checkpoint-") }
    }

    /// Names, shapes and bytes of all tensors in the last checkpoint: weights and the
    /// optimiser's state.
    func tensors(_ out: String) throws -> [UInt8] {
      let last = try #require(checkpoints(out).last, "no checkpoint in \(out)")
      #expect(last == "checkpoint-000048.safetensors")
      let all = try bytes(of: scratch[out] + "/" + last)
      let length = all[0..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
      return Array(all[(8 + length)...])
    }

    /// The values of metrics.json that do not measure time.
    func metrics(_ out: String) throws -> [String] {
      let all = try text(of: scratch[out] + "/metrics.json")
      return all.split { "{},\n".contains($0) }.map(String.init).filter { field in
        ["psnr", "ms_ssim", "psnr_8bit", "steps", "parameters_stored", "seed"].contains {
          field.hasPrefix("\"\($0)\":")
        }
      }
    }

    @Test func interruptedAndKilledRunsEndAlike() throws {
      let whole = try lunerv(scratch, arguments("whole"))
      #expect(whole.code == 0, "\(whole.err)")
      let expected = try losses("whole")
      #expect(expected.count == 48)
      #expect(try metrics("whole").count == 6)

      // Ctrl-C, the end of a job, a closed terminal: the work done so far is on disk, at whatever
      // step the run stopped.
      for (out, step, signal) in [
        ("early", 2, SIGINT), ("late", 23, SIGINT), ("ended", 7, SIGTERM), ("left", 11, SIGHUP),
      ] {
        let run = try start(scratch, arguments(out))
        #expect(run.wait { steps(out) >= step })
        run.send(signal)
        // As `timeout` does, to the process and to its group.
        if signal != SIGINT { run.send(signal) }
        let stopped = try run.outcome()
        #expect(stopped.code == 128 + signal, "\(stopped.err)")
        #expect(names(in: scratch[out]).allSatisfy { !$0.hasSuffix(".tmp") })
        let made = try losses(out).count
        #expect(made < 48)
        #expect(stopped.err.contains("note: step \(made) is in "))
        #expect(stopped.err.contains("interrupted: "))
        #expect(stopped.err.contains("stack traceback:"))
        let padded = String(repeating: "0", count: 6 - "\(made)".count) + "\(made)"
        #expect(checkpoints(out).last == "checkpoint-\(padded).safetensors")
      }
      // kill -9: the work after the last checkpoint is repeated.
      let run = try start(scratch, arguments("killed"))
      #expect(run.wait { steps("killed") >= 18 })
      run.send(SIGKILL)
      #expect(try run.outcome().code == 128 + SIGKILL)

      for out in ["early", "late", "ended", "left", "killed"] {
        let resumed = try lunerv(scratch, arguments(out, resume: true))
        #expect(resumed.code == 0, "\(out): \(resumed.err)")
        #expect(try losses(out) == expected, "\(out)")
        #expect(try tensors(out) == tensors("whole"), "\(out)")
        #expect(try metrics(out) == metrics("whole"), "\(out)")
      }
    }

    /// Ctrl-C ends a callback early: it is called again for that step, which no resumed run repeats.
    @Test func everyStepIsReported() throws {
      let script = try scratch.file(
        "stopped.lua",
        """
        local lv = require "lunerv"
        local clip = assert(lv.video.open(arg[1]))
        local model = lv.models.hnerv { clip = clip, fc_dim = 8, enc_dim = { 8, 2 },
          strides = { 2, 2 } }
        local stops = arg[3] == "stop"
        lv.train { model = model, clip = clip, out = arg[2], epochs = 3, resume = true,
          on_step = function(e)
            if stops and e.step == 7 then
              stops = false
              io.popen("kill -INT $PPID"):close()
              while true do end
            end
            io.write(e.step, " ")
            -- This is what ends the training: the later run has nothing to do.
            if e.step == 7 then return false end
          end }
        """)
      let stopped = try lunerv(scratch, ["run", script, clip, scratch["stopped"], "stop"])
      #expect(stopped.code == 130, "\(stopped.err)")
      #expect(stopped.out == "1 2 3 4 5 6 7 ")
      #expect(stopped.err.contains("note: step 7 is in "))
      let later = try lunerv(scratch, ["run", script, clip, scratch["stopped"], "go"])
      #expect(later.code == 0, "\(later.err)")
      #expect(later.out == "")
    }

    /// A resumed run skips the finished segments, and draws the same random numbers as an
    /// undisturbed one for the others, even for a segment that starts from scratch.
    @Test func aSegmentIsResumedAsIfNothingHadHappened() throws {
      let long = try scratch.file("long.y4m", y4m(32, 24, 10))
      func words(_ name: String) -> [String] {
        ["compress", long, "-o", scratch[name], "--gop", "4", "--epochs", "20"]
          + ["--compress-epochs", "20", "--threads", "1"] + tiny
      }
      #expect(try lunerv(scratch, words("whole.lnv")).code == 0)
      for (name, folder, signal) in [
        ("second.lnv", "segment-002/small", SIGTERM), ("third.lnv", "segment-003/fit", SIGTERM),
        ("killed.lnv", "segment-002/fit", SIGKILL),
      ] {
        let run = try start(scratch, words(name))
        #expect(run.wait { exists(scratch[name] + ".work/" + folder) })
        run.send(signal)
        #expect(try run.outcome().code == 128 + signal)
        let resumed = try lunerv(scratch, words(name) + ["--resume"])
        #expect(resumed.code == 0, "\(resumed.err)")
        #expect(try bytes(of: scratch[name]) == bytes(of: scratch["whole.lnv"]), "\(name)")
      }
    }

    /// `lunerv run … | head -n 1`: the run ends, and keeps its work.
    @Test func noOneReadsTheOutput() throws {
      let talking = try scratch.file(
        "talk.lua",
        """
        local lv = require "lunerv"
        local clip = assert(lv.video.open(arg[1]))
        local model = lv.models.hnerv { clip = clip, fc_dim = 8, enc_dim = { 8, 2 },
          strides = { 2, 2 } }
        io.stdout:setvbuf "no"
        lv.train { model = model, clip = clip, out = arg[2], epochs = 100000,
          on_step = function(e) print(e.step) end }
        """)
      let quoted = [Program.path, "run", talking, clip, scratch["talk"]].map { "'\($0)'" }
      let line =
        "{ \(quoted.joined(separator: " ")) 2>'\(scratch["err"])'; echo $? >'\(scratch["code"])'; }"
        + " | head -n 1 >'\(scratch["first"])'"
      #expect(run(shell: line) == 0)
      #expect(try text(of: scratch["first"]) == "1\n")
      let errors = try text(of: scratch["err"])
      #expect(try text(of: scratch["code"]) == "1\n", "\(errors)")
      #expect(errors.contains("standard output was closed"), "\(errors)")
      #expect(checkpoints("talk").count == 1)
    }

    /// Killed while a checkpoint is being written: the previous one still loads, no partial file is
    /// taken for one, and leftover files are removed.
    @Test func killedDuringACheckpoint() throws {
      // Six million numbers take long enough to write.
      let script = try scratch.file(
        "big.lua",
        """
        local lv = require "lunerv"
        local clip_path, out, resume = ...
        lv.seed(3)
        local Model = lv.nn.class "Model"
        function Model:init()
          self.image = lv.zeros(1, 3, 24, 32)
          self.image.requires_grad = true
          self.ballast = lv.zeros(1000, 2000)
          self.ballast.requires_grad = true
        end
        function Model:forward() return self.image + 0 * self.ballast:slice(1, 1, 1):sum() end
        local clip <close> = assert(lv.video.open(clip_path))
        lv.train {
          model = Model(), clip = clip, out = out, epochs = 3, loss = "l2", optimiser = "adam",
          checkpoint_steps = 1, resume = resume == "resume",
        }
        """)
      func temporaries(_ out: String) -> [String] {
        names(in: scratch[out]).filter { $0.hasSuffix(".tmp") }
      }
      func arguments(_ out: String, _ rest: String...) -> [String] {
        ["run", script, clip, scratch[out]] + rest
      }
      func last(_ out: String) throws -> [UInt8] {
        let path = scratch[out] + "/checkpoint-000012.safetensors"
        let all = try bytes(of: path)
        let length = all[0..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        return Array(all[(8 + length)...])
      }
      #expect(try lunerv(scratch, arguments("whole")).code == 0)

      var caught = false
      for attempt in 1...5 where !caught {
        let out = "killed-\(attempt)"
        let run = try start(scratch, arguments(out))
        #expect(run.wait { checkpoints(out).count >= 2 && !temporaries(out).isEmpty })
        run.send(SIGKILL)
        _ = try run.outcome()
        guard !temporaries(out).isEmpty else { continue }
        caught = true
        let complete = checkpoints(out)
        #expect(complete.count >= 2 && complete.last != "checkpoint-000012.safetensors")
        let resumed = try lunerv(scratch, arguments(out, "resume"))
        #expect(resumed.code == 0, "\(resumed.err)")
        #expect(!resumed.err.contains("cannot be read"), "\(resumed.err)")
        #expect(temporaries(out).isEmpty)
        #expect(try last(out) == last("whole"))
      }
      #expect(caught, "no kill fell into the writing of a checkpoint")
    }

    @Test func threadsChangeNothing() throws {
      for threads in [1, 2, 8] {
        let run = try lunerv(scratch, arguments("threads-\(threads)", threads: threads))
        #expect(run.code == 0, "\(run.err)")
      }
      for threads in [2, 8] {
        #expect(try losses("threads-\(threads)") == losses("threads-1"))
        #expect(try tensors("threads-\(threads)") == tensors("threads-1"))
      }
    }

    /// The script that users run: the same through its command line.
    @Test func regressResumes() throws {
      func arguments(_ out: String, _ rest: String...) -> [String] {
        ["run", Program.regress, clip, "--out", scratch[out], "--epochs", "12"] + tiny + rest
      }
      let whole = try lunerv(scratch, arguments("whole", "--threads", "1"))
      #expect(whole.code == 0, "\(whole.err)")
      let run = try start(scratch, arguments("stopped", "--checkpoint-steps", "1"))
      #expect(run.wait { checkpoints("stopped").count >= 2 })
      run.send(SIGINT)
      #expect(try run.outcome().code == 130)
      #expect(!exists(scratch["stopped"] + "/metrics.json"))
      let resumed = try lunerv(scratch, arguments("stopped", "--resume", "--threads", "8"))
      #expect(resumed.code == 0, "\(resumed.err)")
      #expect(try tensors("stopped") == tensors("whole"))
      #expect(try metrics("stopped") == metrics("whole"))
      let video = "/reconstruction.mkv"
      #expect(try bytes(of: scratch["stopped"] + video) == bytes(of: scratch["whole"] + video))

      // Resuming with other options is rejected, and the message names them.
      let other = try lunerv(scratch, arguments("stopped", "--resume", "--lr", "1e-4"))
      #expect(other.code == 2)
      #expect(other.errorLines.count == 1 && other.err.contains("'lr'"), "\(other.err)")
    }
  }
}
