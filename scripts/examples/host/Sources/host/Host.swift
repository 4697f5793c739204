@preconcurrency import Glibc
import Lunerv
import LunervCodec

/// A program that embeds lunerv: an operator written in Swift that Lua trains with, a frame that is
/// passed in and out without a copy, and the decoding of a `.lnv`.
///
///     swift run -c release host FILE.lnv
@main struct HostProgram {
  static func main() {
    // First: to decode a file, this program is started again in a confined process.
    runIfDecoderProcess()
    do {
      guard CommandLine.arguments.count == 2 else {
        throw LunervError(.usage, "usage: host FILE.lnv")
      }
      let session = try Session()
      try defineOperators(session)
      try train(session)
      try passFrames(session)
      try decode(CommandLine.arguments[1])
    } catch let error as LunervError {
      fputs("host: \(error.text)\n", stderr)
      exit(error.exitCode)
    } catch {
      fputs("host: \(error)\n", stderr)
      exit(1)
    }
  }

  /// sin(ωx) (SIREN, arXiv 2006.09661, section 3.1), and its gradient ω·cos(ωx).
  static func defineOperators(_ session: Session) throws {
    try session.define("waves") { module in
      module.operation("wave", [.tensor("x"), .number("omega")]) { call in
        let (x, omega) = (try call.tensor("x"), try call.number("omega"))
        return Outcome(try x.map { sin(omega * $0) }) { gradients in
          [try gradients[0].map(with: x) { g, x in g * omega * cos(omega * x) }]
        }
      }
    }
  }

  /// Fits a network whose activation is that operator, and also checks its gradient.
  static func train(_ session: Session) throws {
    let results = try session.run(
      """
      local lv, waves = require "lunerv", require "waves"
      local nn = lv.nn
      lv.seed(1)

      local Siren = nn.class "Siren"
      function Siren:init(width)
        self.first, self.second = nn.Linear(1, width), nn.Linear(width, 1)
      end
      function Siren:forward(t) return self.second(waves.wave(self.first(t), 6)) end

      lv.gradcheck(waves.wave, { lv.randn(4, 3), 6 })

      local net = Siren(32)
      local optimiser = lv.optim.Adam(net:parameters(), { lr = 1e-2 })
      local t = lv.linspace(-1, 1, 128):view(128, 1)
      local target = (t * 9):sin() * (t * 2):cos()
      local loss
      for _ = 1, 300 do
        loss = (net(t) - target):square():mean()
        optimiser:zero_grad()
        loss:backward()
        optimiser:step()
      end
      return loss:item()
      """, name: "train.lua")
    guard let loss = results[0].number, loss < 1e-3 else {
      throw LunervError(.numeric, "the loss stays at \(results[0].number ?? .nan)")
    }
    print("trained through an operator of Swift, to a loss below 1e-3")
  }

  /// Lua sees a frame where this program has it, and this program reads the result where Lua has it.
  static func passFrames(_ session: Session) throws {
    let (width, height) = (320, 180)
    let frame = UnsafeMutableBufferPointer<Float>.allocate(capacity: 3 * width * height)
    for i in frame.indices { frame[i] = Float(i % width) / Float(width) }
    // lunerv reads `frame` until the last tensor over it is gone, and then gives it back.
    let image = try session.image(
      borrowing: UnsafeBufferPointer(frame), width: width, height: height
    ) { frame.deallocate() }
    let brighter = try session.load("local image = ... return (image * 1.5):clamp(0, 1)")
    guard let result = try brighter(.tensor(image))[0].tensor else {
      throw LunervError(.script, "expected a tensor")
    }
    let brightest = try result.withUnsafeFloats { $0.max() ?? 0 }
    print("a frame of \(width)×\(height) in and out, brightest \(brightest)")
  }

  static func decode(_ path: String) throws {
    let video = try Video(path: path)
    var pixels = [UInt8](repeating: 0, count: 3 * video.width * video.height)
    var sum = 0
    for i in 0..<video.count {
      try pixels.withUnsafeMutableBufferPointer { try video.decode(i, rgb8: $0) }
      sum += pixels.reduce(0) { $0 + Int($1) }
    }
    print(
      "\(video.count) frames of \(video.width)×\(video.height), mean level",
      sum / (video.count * pixels.count))
  }
}
