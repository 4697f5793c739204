import Codec
import LuaBridge
import Support
import Tensors

extension EventFile: LuaObject {
  public static var luaName: String { "events" }
}

/// TensorBoard events, PNG files, histograms.
enum EventModule {
  static func define(_ m: LuaModule) -> LuaClass<EventFile> {
    histograms(m)
    m.define(
      "png", params: ["image"],
      doc: """
        The bytes of a PNG file of an image.

        Numbers from 0 to 1 become levels as in video.writer: rounded, and cut off beyond.

            lv.write_file("frame.png", lv.png(clip:frame(1)))

        @param image tensor  (3, h, w) or (1, 3, h, w), or grey as (h, w), (1, h, w): f32 or u8
        @return string
        """
    ) { (image: Tensor) -> LuaBytes in
      let picture = try Picture(image)
      return LuaBytes(try picture.png())
    }
    m.publish("png", "histogram")
    return writers(m)
  }

  // MARK: - Images

  /// An image as levels, pixel by pixel.
  private struct Picture {
    var height = 0
    var width = 0
    var channels = 0
    var pixels: [UInt8] = []

    init(_ image: Tensor) throws {
      let shape = image.shape
      let inner = shape.count == 4 && shape[0] == 1 ? Array(shape.dropFirst()) : shape
      let full = inner.count == 2 ? [1] + inner : inner
      guard full.count == 3, full[0] == 1 || full[0] == 3, full[1] > 0, full[2] > 0 else {
        let found = shape.map(String.init).joined(separator: ", ")
        throw LunervError(
          .argument, "image: expected (3, h, w), (1, 3, h, w) or (h, w), got (\(found))")
      }
      (channels, height, width) = (full[0], full[1], full[2])
      let planes = try Picture.levels(image)
      let area = height * width
      pixels = [UInt8](repeating: 0, count: planes.count)
      for c in 0..<channels {
        for i in 0..<area { pixels[i * channels + c] = planes[c * area + i] }
      }
    }

    private static func levels(_ image: Tensor) throws -> [UInt8] {
      switch image.dtype {
      case .u8: return try image.withBytes { Array($0) }
      case .f32:
        return try image.withBytes { bytes in
          try bytes.bindMemory(to: Float.self).map { v in
            guard v == v else {
              throw LunervError(.argument, "image: expected numbers, the image holds nan")
            }
            return level8(v)
          }
        }
      default:
        throw LunervError(.argument, "image: expected f32 or u8, got \(image.dtype.rawValue)")
      }
    }

    func png() throws -> [UInt8] {
      try PNG.encode(pixels, height: height, width: width, channels: channels)
    }
  }

  // MARK: - Histograms

  private static let mostBins = 1 << 20

  /// How many numbers fall into each of equal bins from `low` to `high`. The last bin includes its
  /// upper edge; numbers outside are not counted.
  private static func counted(_ numbers: [Double], _ bins: Int, _ low: Double, _ high: Double)
    -> [Double]
  {
    var counts = [Double](repeating: 0, count: bins)
    let width = (high - low) / Double(bins)
    for x in numbers where x >= low && x <= high {
      let bin = width > 0 ? Int(min((x - low) / width, Double(bins - 1))) : 0
      counts[bin] += 1
    }
    return counts
  }

  private static func edges(_ bins: Int, _ low: Double, _ high: Double) -> [Double] {
    (0...bins).map { $0 == bins ? high : low + (high - low) * Double($0) / Double(bins) }
  }

  /// The numbers of a tensor, and the range of a histogram of them.
  private static func measured(_ t: Tensor, _ bins: Int, _ range: [Double]?) throws -> (
    numbers: [Double], low: Double, high: Double
  ) {
    guard (1...mostBins).contains(bins) else {
      throw LunervError(.argument, "histogram: bins: expected 1 to \(mostBins), got \(bins)")
    }
    let numbers = try t.numbers()
    guard numbers.allSatisfy({ $0.isFinite }) else {
      throw LunervError(.argument, "histogram: expected finite numbers, got inf or nan")
    }
    if let range {
      guard range.count == 2, range[0] < range[1], (range[1] - range[0]).isFinite else {
        let given = range.map(\.printable).joined(separator: ", ")
        throw LunervError(
          .argument, "histogram: range: expected { least, greatest }, got { \(given) }")
      }
      return (numbers, range[0], range[1])
    }
    let (low, high) = (numbers.min() ?? 0, numbers.max() ?? 1)
    guard (high - low).isFinite else {
      throw LunervError(
        .argument, "histogram: expected numbers less than 1.8e308 apart, got \(low) and \(high)")
    }
    // If all numbers are equal, the range is extended by as much on either side.
    return low < high ? (numbers, low, high) : (numbers, low - 0.5, high + 0.5)
  }

  private static func histograms(_ m: LuaModule) {
    m.define(
      "histogram", params: ["x", "bins", "range"],
      doc: """
        How often the numbers of a tensor fall into bins of one width.

        Unlike PyTorch's histc it returns the edges too. Numbers outside the range are not counted; \
        the last bin holds its upper edge.

            local counts, edges = lv.histogram(weight, 50, { -1, 1 })

        @param bins? integer  how many (64)
        @param range? number[]  the least and the greatest number (those of x)
        @return lunerv.Tensor  the counts, i32, (bins)
        @return lunerv.Tensor  the edges, f32, (bins + 1)
        """
    ) { (x: Tensor, bins: Int?, range: [Double]?) -> LuaResults in
      let n = bins ?? 64
      let (numbers, low, high) = try measured(x, n, range)
      return LuaResults(
        try Tensor.from(counted(numbers, n, low, high), [n], .i32),
        try Tensor.from(edges(n, low, high), [n + 1]))
    }
  }

  // MARK: - Events

  private static func writers(_ m: LuaModule) -> LuaClass<EventFile> {
    m.define(
      "event_writer", params: ["folder", "resumed_at"],
      doc: """
        A new TensorBoard event file in a folder, which is created if it is missing.

        Its methods are scalar, image, histogram, flush and close. TensorBoard ignores step \
        `resumed_at`, and later ones, in earlier files of the folder.

            local events = lv.event_writer("runs/mine")
            events:scalar("psnr", 31.5, 100)
            events:close()

        @param resumed_at? integer  the first step that is computed again (none)
        @return lunerv.Events
        """
    ) { (folder: String, step: Int?) in try EventFile(folder: folder, resumedAt: step) }
    let c = LuaClass<EventFile>()
    c.method(
      "scalar", params: ["tag", "value", "step"],
      doc: """
        Adds a point of a curve.

            events:scalar("loss/total", loss:item(), step)
        """
    ) { (w: EventFile, tag: String, value: Double, step: Int) in
      try w.scalar(tag, value, step: step)
    }
    c.method(
      "image", params: ["tag", "image", "step"],
      doc: """
        Adds an image, without loss.

            events:image("frame", model(0.5), step)

        @param image tensor  (3, h, w) or (1, 3, h, w), or grey as (h, w): f32 in [0, 1], or u8
        """
    ) { (w: EventFile, tag: String, image: Tensor, step: Int) in
      let picture = try Picture(image)
      try w.image(
        tag, png: try picture.png(), height: picture.height, width: picture.width,
        channels: picture.channels, step: step)
    }
    c.method(
      "histogram", params: ["tag", "x", "step", "bins"],
      doc: """
        Adds a histogram of the numbers of a tensor.

            events:histogram("head.weight", model.head.weight, step)

        @param bins? integer  how many bins of one width (64)
        """
    ) { (w: EventFile, tag: String, x: Tensor, step: Int, bins: Int?) in
      let n = bins ?? 64
      let (numbers, low, high) = try measured(x, n, nil)
      var histogram = EventFile.Histogram()
      (histogram.minimum, histogram.maximum) = (numbers.min() ?? 0, numbers.max() ?? 0)
      histogram.count = Double(numbers.count)
      histogram.sum = numbers.reduce(0, +)
      histogram.sumOfSquares = numbers.reduce(0) { $0 + $1 * $1 }
      histogram.limits = Array(edges(n, low, high).dropFirst())
      histogram.counts = counted(numbers, n, low, high)
      try w.histogram(tag, histogram, step: step)
    }
    c.method("flush", doc: "Writes what is pending, so that other programs see it.") {
      (w: EventFile) in try w.flush()
    }
    c.method("close", doc: "Writes what is pending and ends the file.", polls: false) {
      (w: EventFile) in try w.close()
    }
    return c
  }
}
