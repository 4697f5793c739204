import Codec
import Coder
import Kernels
import Support

/// The container and the sections that Swift parses; those that Lua reads are in `file`.
extension FuzzTarget {
  static let sections: [FuzzTarget] = [
    FuzzTarget(
      name: "container", summary: "a whole file's header, table and checksums", longest: 1 << 14,
      run: container, mend: LNVMender.mend),
    FuzzTarget(name: "clip", summary: "the section of sizes, rate and times", run: clip),
    FuzzTarget(name: "segments", summary: "the segment table", run: segments),
    FuzzTarget(
      name: "program", summary: "the section of Lua modules", run: program),
    FuzzTarget(
      name: "weights", summary: "weights in all forms, decoded and written again", run: weights),
    FuzzTarget(
      name: "embeddings", summary: "embeddings in both forms, decoded and written again",
      run: embeddings),
  ]

  private static func container(_ bytes: [UInt8]) throws {
    let container = try Container(decoding: bytes)
    let known = container.sections.reduce(0) { $0 + $1.bytes.count }
    require(
      container.headerCount + known + container.skippedCount == bytes.count,
      "the sections do not sum to the file")
    let again = try Container(decoding: container.encoded())
    require(again.sections.count == container.sections.count, "sections were lost")
    for (a, b) in zip(again.sections, container.sections) {
      require(a.kind == b.kind && a.bytes == b.bytes, "a section changed")
    }
    for section in container.sections {
      do {
        switch section.kind {
        case .clip: _ = try StoredClip(section.bytes)
        case .program: _ = try StoredProgram.decode(section.bytes)
        case .segments: _ = try StoredSegments(section.bytes, frames: 12)
        default: break
        }
      } catch is LunervError {}
    }
  }

  private static func clip(_ bytes: [UInt8]) throws {
    let clip = try StoredClip(bytes)
    for i in [0, clip.frames / 2, clip.frames - 1] {
      require(clip.seconds(i).isFinite, "a time that is NaN")
    }
    let again = try StoredClip(clip.encoded())
    require(again == clip, "a clip changed")
  }

  private static func segments(_ bytes: [UInt8]) throws {
    var input = FuzzInput(bytes)
    let frames = Int(input.byte()) << 8 | Int(input.byte())
    let table = try StoredSegments(input.rest(), frames: frames)
    require(table.segments.reduce(0) { $0 + $1.frames } == frames, "frames in no segment")
    try require(
      StoredSegments(table.encoded(), frames: frames) == table, "a table of segments changed")
  }

  /// A first byte below 128: uncompressed modules, deflated here; else the section itself.
  private static func program(_ bytes: [UInt8]) throws {
    guard let first = bytes.first else { return }
    if first >= 128 {
      let modules = try StoredProgram.decode(Array(bytes.dropFirst()))
      try require(
        StoredProgram.decode(StoredProgram.encode(modules)) == modules, "a program changed")
      return
    }
    var input = FuzzInput(bytes)
    let modules = (0..<input.choice(70)).map { _ in
      let name = (0..<input.choice(8)).map { _ in input.byte() }
      let source = (0..<input.choice(40)).map { _ in input.byte() }
      return StoredProgram.Module(name: String(decoding: name, as: UTF8.self), source: source)
    }
    let section = try StoredProgram.encode(modules)
    // Only readers reject two modules of one name.
    try require(StoredProgram.decode(section) == modules, "a program changed")
  }

  private static func draw(_ from: Origin, _ count: Int) -> [Int32] {
    var generator = Philox(seed: from.seed, counter: from.counter)
    return generator.integers(count)
  }

  private static func shape(_ input: inout FuzzInput) -> [Int] {
    (0..<input.choice(5)).map { _ in input.pick([1, 2, 3, 4, 5, 8, 0]) }
  }

  private static let families: [[SymbolModel.Family]] = [
    [], [.gaussian], [.laplace], [.adaptive], [.context], [.gaussian, .context],
    SymbolModel.Family.allCases,
  ]

  private static func weights(_ bytes: [UInt8]) throws {
    var input = FuzzInput(bytes)
    let form = input.choice(4)
    let shapes = (0..<input.choice(5)).map { _ in shape(&input) }
    switch form {
    case 0: try rewritten(StoredTensors.decode(input.rest(), shapes: shapes), shapes, [])
    case 1:
      try rewritten(SeededTensors.decode(input.rest(), shapes: shapes, draw: draw), shapes, [])
    case 2:
      do {
        var reader = try ModelledTensors.Reader(input.rest())
        for shape in shapes {
          let steps = try reader.decodeSteps(rows: shape.first ?? 1)
          require(steps.allSatisfy { $0.isFinite && $0 > 0 }, "a step of no size")
          let count = shape.reduce(1, *)
          try require(reader.decode(count: count).count == count, "symbols are missing")
        }
        try reader.decoder.finish()
      } catch is CoderError {}
    default:
      let choice = input.pick(families)
      var seed = Origin(seed: input.word(), counter: input.word())
      var origins: [Origin?] = []
      let items = shapes.map { shape in
        let count = shape.reduce(1, *)
        let rows = input.choice(2) == 1 && count > 0 ? shape.first ?? 1 : 1
        let steps = (0..<rows).map { _ in
          StoredStep.rounded(Float(bitPattern: UInt32(truncatingIfNeeded: input.word())))
        }
        origins.append(input.choice(2) == 1 ? seed : nil)
        seed.counter &+= UInt64(input.byte())
        return StoredTensors.Item(
          symbols: (0..<count).map { _ in input.symbol() }, steps: steps)
      }
      try rewritten(items, shapes, origins, among: choice)
    }
  }

  /// Decoded data can be encoded, and decodes to the same.
  private static func rewritten(
    _ items: [StoredTensors.Item], _ shapes: [[Int]], _ given: [Origin?],
    among families: [SymbolModel.Family] = SymbolModel.Family.allCases
  ) throws {
    let origins = given.isEmpty ? items.map { _ in nil } : given
    for item in items { require(item.values.count == item.symbols.count, "values are missing") }
    let section = try StoredTensors.section(
      items, shapes: shapes, origins: origins, draw: draw, among: families)
    let again =
      section.kind == .weights
      ? try StoredTensors.decode(section.bytes, shapes: shapes)
      : try SeededTensors.decode(section.bytes, shapes: shapes, draw: draw)
    require(again.count == items.count, "tensors are missing")
    for (a, b) in zip(again, items) {
      require(a.symbols == b.symbols && a.steps == b.steps, "a tensor changed")
    }
  }

  private static func embeddings(_ bytes: [UInt8]) throws {
    var input = FuzzInput(bytes)
    let form = input.choice(3)
    let frames = 1 + input.choice(6)
    let shape = shape(&input)
    if form == 2 {
      let count = shape.reduce(1, *)
      var last = [Int32](repeating: 0, count: count)
      let list = (0..<frames).map { _ in
        let changes = input.choice(2) == 1
        last = last.map { old in
          let symbol = input.symbol()
          return changes ? old &+ symbol : symbol
        }
        return last
      }
      try rewritten(list, shape, &input)
      return
    }
    // A claim of more frames than the bytes can hold must not reserve memory for them.
    let claimed = input.choice(8) == 7 ? frames << 33 : frames
    let stored = try StoredEmbeddings(
      input.rest(), frames: claimed, shape: shape, form: form == 0 ? .differences : .mixed)
    for frame in 0..<frames {
      let (first, values) = try stored.group(of: frame)
      require(first <= frame && frame < first + values.count, "a frame is missing")
      require(values.allSatisfy { $0.count == shape.reduce(1, *) }, "values are missing")
    }
  }

  private static func rewritten(_ list: [[Int32]], _ shape: [Int], _ input: inout FuzzInput) throws
  {
    let step = StoredStep.rounded(Float(input.byte()) / 64)
    let section = try StoredEmbeddings.section(
      list, shape: shape, step: step, offset: 0, groupSize: 1 + input.choice(5),
      predicting: input.choice(2) == 1, among: input.pick(families))
    let again = try StoredEmbeddings(
      section.bytes, frames: list.count, shape: shape,
      form: section.kind == .embeddings ? .differences : .mixed)
    for (i, symbols) in list.enumerated() {
      let (first, values) = try again.group(of: i)
      require(
        values[i - first] == symbols.map { Float($0) * step + 0 }, "embeddings changed")
    }
  }
}

/// Repairs the checksums of a `.lnv`, and the lengths in its table, so that changed bytes reach the
/// sections.
enum LNVMender {
  static func mend(_ bytes: [UInt8]) -> [UInt8] {
    do {
      var reader = ByteReader(bytes)
      var entries: [(kind: UInt8, count: Int)] = []
      _ = try reader.take(4)
      _ = try reader.byte()
      let level = try reader.byte()
      let count = try reader.count(limit: 64, "sections")
      for _ in 0..<count {
        let kind = try reader.byte()
        entries.append((kind, try reader.count(limit: 1 << 20, "length")))
        _ = try reader.fixed(count: 4)
      }
      _ = try reader.fixed(count: 4)
      var payloads: [[UInt8]] = []
      for (i, entry) in entries.enumerated() {
        let room = reader.remaining
        // The last section takes the rest.
        let size = i + 1 == entries.count ? room : min(entry.count, room)
        payloads.append(Array(try reader.take(size)))
      }
      return file(level: level, zip(entries, payloads).map { ($0.kind, $1) })
    } catch { return bytes }
  }

  /// The file of these sections.
  static func file(level: UInt8, _ sections: [(kind: UInt8, bytes: [UInt8])]) -> [UInt8] {
    var writer = ByteWriter()
    writer.append([0x4c, 0x4e, 0x56, 0x1a, Container.version, level])
    writer.number(UInt64(sections.count))
    for section in sections {
      writer.byte(section.kind)
      writer.number(UInt64(section.bytes.count))
      writer.fixed(UInt64(CRC32C.checksum(section.bytes)), count: 4)
    }
    writer.fixed(UInt64(CRC32C.checksum(writer.bytes)), count: 4)
    for section in sections { writer.append(section.bytes) }
    return writer.bytes
  }
}
