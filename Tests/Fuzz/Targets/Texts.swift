import Support

/// Texts and headers that Swift parses.
extension FuzzTarget {
  static let texts: [FuzzTarget] = [
    FuzzTarget(
      name: "json", summary: "JSON, read, written and read again", run: json,
      words: "true false null \\u00e9 \\ud83d\\ude00 1e309 -0.0 [[ ]] {\"a\":1} 9223372036854775808"
    ),
    FuzzTarget(
      name: "safetensors", summary: "headers of safetensors files, and their tensors",
      run: safetensors,
      words: """
        "dtype" "shape" "data_offsets" "__metadata__" "F32" "F64" "F16" "BF16" "I64" "I32" "U8" "BOOL"
        "F8_E4M3" [0,4] [9223372036854775807] :{ },
        """),
    FuzzTarget(
      name: "events", summary: "TensorBoard folders with files of any names", run: events),
  ]

  private static func json(_ bytes: [UInt8]) throws {
    let value = try JSON.parse(bytes, limits: .init(depth: 32, bytes: 1 << 16))
    for pretty in [false, true] {
      let again = try JSON.parse(value.text(pretty: pretty))
      require(again == value, "\(value) was read again as \(again)")
    }
  }

  /// A first byte of 255: the file unchanged; else a number of data bytes, and the header's text.
  private static func safetensors(_ bytes: [UInt8]) throws {
    guard let first = bytes.first else { return }
    var image = Array(bytes.dropFirst())
    if first < 255 {
      let count = UInt64(image.count)
      image = (0..<8).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } + image
      image += [UInt8](repeating: 0x3f, count: Int(first))
    }
    try image.withUnsafeBytes { raw in
      let header = try SafetensorsHeader(raw, allowsForeign: image.count % 2 == 1)
      var end = 0
      for entry in header.entries {
        require(
          entry.range.lowerBound >= end && entry.range.upperBound <= raw.count,
          "a tensor outside the file")
        end = entry.range.upperBound
        require(
          entry.type.byteCount(shape: entry.shape) == entry.range.count, "a tensor of another size")
      }
    }
  }

  /// Names of files, one per line, then a step and tags.
  private static func events(_ bytes: [UInt8]) throws {
    let folder = try Scratch.folder()
    let lines = bytes.split(separator: 10, maxSplits: 6, omittingEmptySubsequences: true)
    for line in lines.prefix(4) {
      let name = line.prefix(200).filter { $0 != 0 && $0 != UInt8(ascii: "/") }
      guard !name.isEmpty, name != Array(".".utf8), name != Array("..".utf8) else { continue }
      Scratch.touch("\(folder)/\(String(decoding: name, as: UTF8.self))")
    }
    var input = FuzzInput(Array(lines.last ?? []))
    let resumed = input.choice(2) == 1 ? Int(truncatingIfNeeded: input.word()) : nil
    let file = try EventFile(folder: folder, resumedAt: resumed)
    let tag = String(decoding: lines.first ?? [], as: UTF8.self)
    try file.scalar(
      tag, Double(bitPattern: input.word()), step: Int(bitPattern: UInt(input.word())))
    var histogram = EventFile.Histogram()
    histogram.limits = [Double(bitPattern: input.word())]
    histogram.counts = [1]
    try file.histogram(tag, histogram, step: 1)
    try file.image(
      tag, png: input.rest(), height: Int(truncatingIfNeeded: input.word()), width: 1, channels: 3,
      step: -1)
    try file.close()
  }
}
