import Bindings
import LuaBridge
import Support

/// Texts that Lua parses: command lines, and the names of raw videos.
extension FuzzTarget {
  static let lua: [FuzzTarget] = [
    FuzzTarget(
      name: "options", summary: "command lines of scripts, one word per line", longest: 512,
      run: { bytes in try LuaTexts.shared.get().options(bytes) },
      words: """
        --model --preset --size --params --fc-dim --strides --enc-dim --epochs --out --frames --resize
        --crop --bpp --bytes --psnr --minutes --gop --recipe --seed --threads --resume --json --cache
        --no- --max-work --max-memory --target-bpp --lambda --families --seeded --predict --rdo --lr
        --schedule --loss --help -- -o = , hnerv_boost nerv enerv fast published 1e308 -1 0x1p4 2M
        """),
    FuzzTarget(
      name: "names", summary: "names of raw videos", longest: 128,
      run: { bytes in try LuaTexts.shared.get().names(bytes) },
      words: """
        1920x1080 352x288 16x9 120fps 60p 50hz 420 422 444 400 10bit 10-bit 8b yuv420p10le yuv444p nv12
        p010 i420 gray 10le p16 rgb24 601 709 h264 4k qp32 ver1 .yuv _ 01
        """),
  ]
}

private final class LuaTexts {
  nonisolated(unsafe) static let shared = Result { try LuaTexts() }

  private let host: Host
  private let parse: LuaFunction
  private let layout: LuaFunction

  init() throws {
    host = try Host()
    Fuzzing.watch(host.lua)
    // Help goes nowhere.
    parse = try host.lua.load(
      source: """
        local errors, options = require "lunerv.errors", require "lunerv.options"
        io.write = function() end
        local command, words = ...
        local ok, problem = pcall(options.parse, words, {
          command = command, usage = "CLIP --out DIR", about = "Does it.", positional = { "clip" },
        })
        -- A recipe may be a file or a folder that cannot be read.
        if not ok and not errors.is(problem, "usage") and not errors.is(problem, "io") then
          return "neither an error of usage nor of io: " .. tostring(problem)
        end
        """,
      chunkName: "@options.lua")
    layout = try host.lua.load(
      source: """
        local name = ...
        local found, message = require "lunerv.raw_layout" (name)
        if not found then return message == nil or type(message) == "string" end
        return math.type(found.width) == "integer" and found.width > 0
          and math.type(found.height) == "integer" and found.height > 0
          and type(found.pixel_format) == "string"
          and (found.fps == nil or found.fps > 0 and found.fps <= 1000)
        """,
      chunkName: "@names.lua")
  }

  private static let commands = [
    "regress", "compress", "ablate", "inpaint", "interpolate", "rd_curve", "batch", "diagnose",
    "decompress", "eval", "info", "bench", "compress_file", "encode_field", "decode_published",
    "no command",
  ]

  func options(_ bytes: [UInt8]) throws {
    var input = FuzzInput(bytes)
    let command = input.pick(LuaTexts.commands)
    let lines = input.rest().split(separator: 10, omittingEmptySubsequences: false)
    // A recipe may be a file, which would run.
    guard !bytes.contains(UInt8(ascii: "/")) else { return }
    let words = lines.prefix(24).map { LuaValue.string(String(decoding: $0, as: UTF8.self)) }
    let results = try parse.call(command, LuaValue.array(Array(words)))
    if case .string(let problem)? = results.first { fatalError("\(problem)\n\(words)") }
  }

  func names(_ bytes: [UInt8]) throws {
    let results = try layout.call(LuaBytes(bytes))
    if case .bool(true)? = results.first { return }
    fatalError("an invalid layout: \(results)")
  }
}
