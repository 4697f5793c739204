import CRefusal
import Glibc
import Testing

/// Files that claim more than they hold, and systems that cannot confine a process.
@Suite(.serialized, .needsProgram) struct ConfinementTests {
  private static let sample = Program.root + "/Tests/lua/files/v1.lnv"
  private static let ownDecoder = Program.root + "/Tests/lua/files/v1-forms.lnv"

  /// Makes a file by a few lines of Lua, which give its sections: kinds and bytes.
  private func forge(_ scratch: Scratch, _ sections: String) throws -> String {
    let script = try scratch.file(
      "forge.lua",
      """
      local lv, native = require "lunerv", require "lunerv.native"
      local kinds, bytes = (function() \(sections) end)()
      assert(lv.write_file(arg[1], native.lnv_pack(kinds, bytes)))
      """)
    let made = try lunerv(scratch, ["run", script, scratch["forged.lnv"]])
    try #require(made.code == 0, "\(made.err)")
    return scratch["forged.lnv"]
  }

  /// Decodes a file, which must end in one line that says all of `words`, within a memory of
  /// megabytes.
  private func expectRefusal(
    _ path: String, _ words: [String], megabytes: Int, _ options: [String] = [],
    in scratch: Scratch
  ) throws {
    let outcome = try lunerv(
      scratch, ["decompress", path, "-o", scratch["out.mkv"]] + options)
    #expect(outcome.code == 1)
    #expect(outcome.errorLines.count == 1, "\(outcome.err)")
    for word in words { #expect(outcome.err.contains(word), "\(outcome.err)") }
    #expect(
      isSanitized || outcome.peakBytes < megabytes << 20,
      "\(outcome.peakBytes >> 20) MB, \(outcome.err)")
    #expect(!exists(scratch["out.mkv"]))
  }

  @Test func aNetworkThatNoBytesHold() throws {
    let scratch = try Scratch()
    // 36 million parameters in 600 bytes.
    let path = try forge(
      scratch,
      """
        return { "clip", "decoder", "weights", "embeddings" }, {
          native.lnv_clip(8, 8, 1, 25, {}),
          'hnerv@1{"enc_dim":1,"fc_dim":512,"reduce":1,"strides":[2,2,2]}',
          ("\\1"):rep(600), ("\\1"):rep(16) }
      """)
    try expectRefusal(path, ["section 'decoder'", "bytes of weights"], megabytes: 400, in: scratch)
    try expectRefusal(
      path, ["section 'decoder'", "bytes of weights"], megabytes: 400, ["--unconfined"], in: scratch
    )
  }

  @Test func embeddingsOfNextToNoBytesAreDecodedOneByOne() throws {
    let scratch = try Scratch()
    // 20 frames of a million numbers in one group.
    let path = try forge(
      scratch,
      """
        local frames, zeros = {}, lv.zeros(1, 16, 256, 256)
        for i = 1, 20 do frames[i] = zeros end
        local bytes, kind = native.encode_embeddings(frames, 0.5, 0,
          { families = { "gaussian" }, predict = false })
        local weights, weights_kind = native.encode_tensors({}, {}, {})
        return { "clip", "decoder", "decoder program", weights_kind, kind }, {
          native.lnv_clip(16, 16, 20, 25, {}),
          'program@1{"embedding":[1,16,256,256],"model":{"@":"own","with":[]}}',
          native.lnv_program({ "own" }, { [[
            local lv = require "lunerv"
            local C = lv.nn.class "C"
            function C:decode(e) return lv.zeros(1, 3, 16, 16) + e:mean() end
            return C
          ]] }), weights, bytes }
      """)
    let decoded = try lunerv(scratch, ["decompress", path, "-o", scratch["out.mkv"]])
    #expect(decoded.code == 0, "\(decoded.err)")
    #expect(isSanitized || decoded.peakBytes < 250 << 20, "\(decoded.peakBytes >> 20) MB")
  }

  @Test func framesWithoutEnd() throws {
    let scratch = try Scratch()
    let endless = """
        local text = 'local lv = require "lunerv" local C = lv.nn.class "C" '
          .. 'function C:forward() while true do end end return C'
        local weights, kind = native.encode_tensors({}, {}, {})
      """
    let clip = { (size: String) in
      """
        return { "clip", "decoder", "decoder program", kind }, { native.lnv_clip(\(size), 25, {}),
          'program@1{"model":{"@":"own","with":[]}}', native.lnv_program({ "own" }, { text }),
          weights }
      """
    }
    // What is allowed for a frame follows from its size, not from how many the file claims.
    let many = try forge(scratch, endless + clip("16, 16, 1 << 28"))
    try expectRefusal(
      many, ["section 'decoder program'", "more than 5 seconds of processor time for a frame"],
      megabytes: 300, in: scratch)
    // What a user allows is allowed, more or less than that.
    try expectRefusal(
      many, ["more than 2 seconds of processor time for a frame (max_work is 1000000"],
      megabytes: 300, ["--max-work", "1e6"], in: scratch)
    // Frames that memory cannot hold are refused before anything runs.
    let large = try forge(scratch, endless + clip("16384, 16384, 1"))
    try expectRefusal(
      large, ["section 'clip'", "16384×16384", "max_memory"], megabytes: 300,
      ["--max-memory", "8G"], in: scratch)
  }

  @Test func timesOfFramesThatNoBytesHold() throws {
    let scratch = try Scratch()
    // A section 'clip' of 2²⁴ frames at times of their own, which cost nothing.
    let path = try forge(
      scratch,
      """
        local clip = "\\16\\16\\128\\128\\128\\8\\25\\1\\1\\0" .. ("\\0"):rep(7) .. "\\1"
        return { "clip", "decoder", "weights" }, { clip, "nerv@1{}", "" }
      """)
    try expectRefusal(path, ["section 'clip'", "individual times"], megabytes: 250, in: scratch)
    let joined = try lunerv(
      scratch,
      [
        "run",
        try scratch.file(
          "join.lua",
          """
          local lv, native = require "lunerv", require "lunerv.native"
          local paths = {}
          for i, fps in ipairs { 24, 25 } do
            paths[i] = arg[1] .. "/" .. i .. ".lnv"
            assert(lv.write_file(paths[i], native.lnv_pack({ "clip", "decoder", "weights" },
              { native.lnv_clip(16, 16, 1 << 27, fps, {}), "nerv@1{}", "" })))
          end
          print(select(2, lv.codec.join(arg[1] .. "/both.lnv", paths)))
          """), scratch.path,
      ])
    #expect(joined.code == 0 && joined.out.contains("have no common rate"), "\(joined.out)")
    #expect(isSanitized || joined.peakBytes < 250 << 20, "\(joined.peakBytes >> 20) MB")
  }

  // MARK: - Systems that cannot confine

  /// Decodes where a system call fails.
  private func decode(
    _ file: String, without call: refused_call, error: Int32, _ options: [String] = []
  ) throws -> Outcome {
    let scratch = try Scratch()
    let words = ["decompress", file, "-o", scratch["out.mkv"]] + options
    // The refusal holds for the thread that asks for it, and for what that starts.
    final class Box: @unchecked Sendable {
      var body: () -> Void = {}
      var running: Result<Running, any Error>?
    }
    let box = Box()
    box.body = { [unowned box] in
      guard refuse_call(call, error) else { return }
      box.running = Result { try start(scratch, words) }
    }
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { raw in
        guard let raw else { return nil }
        Unmanaged<Box>.fromOpaque(raw).takeUnretainedValue().body()
        return nil
      }, Unmanaged.passUnretained(box).toOpaque())
    try #require(status == 0)
    pthread_join(thread, nil)
    let running = try #require(box.running, "this system has no filter of system calls").get()
    return try running.outcome()
  }

  @Test(
    arguments: [ConfinementTests.sample, ConfinementTests.ownDecoder], [ENOSYS, EPERM, EINVAL])
  func withoutAFilterNothingIsDecodedUnlessOneSaysSo(file: String, error: Int32) throws {
    let refused = try decode(file, without: refused_seccomp, error: error)
    #expect(refused.code == 1 && refused.errorLines.count == 1, "\(refused.err)")
    for words in ["filtering system calls", String(cString: strerror(error)), "--unconfined"] {
      #expect(refused.err.contains(words), "\(refused.err)")
    }
    let trusted = try decode(
      file, without: refused_seccomp, error: error, ["--unconfined"])
    #expect(trusted.code == 0, "\(trusted.err)")
  }

  /// A filter that seems to be there, and lets everything through.
  @Test func aFilterThatDoesNotHoldIsNone() throws {
    let refused = try decode(Self.ownDecoder, without: refused_seccomp, error: 0)
    #expect(refused.code == 1 && refused.err.contains("they went through"), "\(refused.err)")
  }

  @Test(arguments: [(refused_prctl, "ending with its parent"), (refused_prlimit, "limit")])
  func everyStepIsChecked(call: refused_call, words: String) throws {
    let refused = try decode(Self.ownDecoder, without: call, error: EPERM)
    #expect(refused.code == 1 && refused.errorLines.count == 1, "\(refused.err)")
    #expect(refused.err.contains(words), "\(refused.err)")
  }

  /// Descriptors are then closed one by one.
  @Test(arguments: [ENOSYS, EPERM]) func anOlderKernelIsEnough(error: Int32) throws {
    let decoded = try decode(Self.ownDecoder, without: refused_close_range, error: error)
    #expect(decoded.code == 0, "\(decoded.err)")
  }
}
