import Codec
import Kernels
import LuaBridge
import Support
import Tensors
import VideoIO

/// The embeddings of a file, decoded by groups on demand.
final class EmbeddingStore: LuaObject {
  static var luaName: String { "embeddings" }
  private let stored: StoredEmbeddings
  private let shape: [Int]
  private let count: Int
  /// The frames of the last group requested, from `first` on.
  private var first = 0
  private var values: [[Float]] = []
  /// For groups that are too large to cache.
  private var reader: StoredEmbeddings.Reader?

  /// The frames of the group that `reader` reads.
  private var readerGroup = 0..<0
  /// The most numbers that a cached group may have.
  private static let mostKept = 1 << 22

  init(_ stored: StoredEmbeddings, shape: [Int]) {
    self.stored = stored
    self.shape = shape
    count = shape.reduce(1, *)
  }

  var frames: Int { stored.frames }

  func frame(_ i: Int) throws -> Tensor {
    if i < first || i >= first + values.count {
      try CompressionModule.section("embeddings") { try load(i) }
    }
    return try values[i - first].withUnsafeBytes { try Tensor.from(bytes: $0, shape, .f32) }
  }

  private func load(_ i: Int) throws {
    let group = stored.frames(ofGroupOf: i)
    let (numbers, overflows) = group.count.multipliedReportingOverflow(by: count)
    if !overflows, numbers <= EmbeddingStore.mostKept {
      reader = nil
      (first, values) = try Work.decoding(symbols: numbers, models: group.count) {
        try stored.group(of: i)
      }
      return
    }
    // Decodes frame by frame; restarts the group if the frame lies before the last one.
    var next = reader
    reader = nil
    values = []
    if readerGroup != group || next.map({ $0.next > i }) ?? true {
      next = try Work.decoding(symbols: count) { try stored.reader(groupOf: i) }
      readerGroup = group
    }
    while var at = next, at.next <= i {
      values = [try Work.decoding(symbols: count) { try at.read() }]
      next = at
    }
    (first, reader) = (i, next)
  }
}

/// Quantisers, rates, and the parts of a compressed file.
enum CompressionModule {
  private struct Quantise: LuaOptions {
    var offset: Tensor?
    var noise: Tensor?
    static var luaFields: [LuaField<Quantise>] {
      [
        LuaField("offset", \.offset, doc: "what is subtracted before and added after (none)"),
        LuaField("noise", \.noise, doc: "what is added to the codes instead of rounding (none)"),
      ]
    }
  }
  private struct Coding: LuaOptions {
    var families: [String]?
    var group: Int?
    var predict = true
    var origins: [[Int]] = []
    static var luaFields: [LuaField<Coding>] {
      [
        LuaField("families", \.families), LuaField("group", \.group),
        LuaField("predict", \.predict), LuaField("origins", \.origins),
      ]
    }
  }

  /// Families by name; all of them for nil.
  static func families(_ names: [String]?) throws -> [SymbolModel.Family] {
    guard let names else { return SymbolModel.Family.allCases }
    return try names.map { name in
      guard let family = SymbolModel.Family(rawValue: name),
        SymbolModel.Family.allCases.contains(family)
      else {
        let known = SymbolModel.Family.allCases.map(\.rawValue).joined(separator: ", ")
        throw LunervError(.argument, "unknown family '\(name)' (known: \(known))")
      }
      return family
    }
  }

  /// Adds the section's name to an error about data.
  static func section<R>(_ name: String, _ body: () throws -> R) throws -> R {
    do { return try body() } catch let error as LunervError where error.kind == .data {
      throw LunervError(.data, "section '\(name)': \(error.message)")
    }
  }

  static func define(_ s: TensorSurface) -> LuaClass<EmbeddingStore> {
    operators(s)
    container(s.module)
    segmentTable(s.module)
    tensors(s.module)
    return embeddings(s.module)
  }

  private static func operators(_ s: TensorSurface) {
    s.op(
      "codes", params: ["step", "offset"],
      doc: """
        (x − offset)/step, not rounded; step and offset are broadcast to the shape of x.
        The rate in a loss is computed from them; a file stores them rounded.

            local bits = weight:codes(step):gaussian_bits()
        """
    ) { (x: Tensor, step: Tensor, offset: Tensor?) in try x.codes(step: step, offset: offset) }
    s.op(
      "quantise", params: ["step", "options"],
      doc: """
        step·round((x − offset)/step) + offset: the values that a decoder gets from a file.
        The gradient of x passes straight through the rounding (arXiv 1308.3432). That of step is
        multiplied by the rounding error, round(code) − code; that of offset is 0. `noise`, if
        given, is added to the codes instead of rounding.

            local rough = weight:quantise(step)
        """
    ) { (x: Tensor, step: Tensor, o: Quantise) in
      try x.quantised(step: step, offset: o.offset, noise: o.noise)
    }
    s.op(
      "round_straight",
      doc: """
        The nearest integers, ties to even; the gradient passes as if they were x
        (arXiv 1308.3432).

            local codes = (x / step):round_straight()
        """
    ) { (x: Tensor) in try x.roundedStraight() }
    s.op(
      "gaussian_bits", params: ["noise"],
      doc: """
        The bits that codes cost under the normal distribution of their own mean and deviation, a
        scalar (arXiv 2402.18152, entropy minimisation).
        Codes are rounded, or `noise` of their shape is added; gradients pass through mean and
        deviation too.

            local bits = weight:codes(step):gaussian_bits(lv.quant.noise(weight))
        """
    ) { (x: Tensor, noise: Tensor?) in try x.gaussianBits(noise: noise) }
    s.module.define(
      "stored_step", params: ["step"],
      doc: """
        The nearest step that a file can hold.

        @return number  the step size as a file stores it
        """
    ) { (step: Double) -> Double in Double(StoredStep.rounded(Float(step))) }
  }

  // MARK: - The container

  private static func container(_ m: LuaModule) {
    m.define(
      "lnv_pack", params: ["kinds", "payloads", "level"],
      doc: "The bytes of a file of these sections, for readers of this level or later."
    ) { (kinds: [String], payloads: [LuaBytes], level: Int?) -> LuaBytes in
      guard let floor = UInt8(exactly: level ?? 1), floor <= Container.level else {
        throw LunervError(
          .argument, "lnv_pack: level: expected at most \(Container.level), got \(level ?? 1)")
      }
      guard kinds.count == payloads.count else {
        throw LunervError(
          .argument, "lnv_pack: expected \(kinds.count) payloads, got \(payloads.count)")
      }
      let sections = try zip(kinds, payloads).map { name, payload in
        guard let kind = Container.Kind.allCases.first(where: { $0.name == name }) else {
          throw LunervError(.argument, "lnv_pack: unknown section '\(name)'")
        }
        return Container.Section(kind, payload.bytes)
      }
      return LuaBytes(try Container(sections, level: floor).encoded())
    }
    m.define(
      "lnv_kinds",
      doc: "The names of all kinds of sections, and the highest level that this program reads."
    ) { () -> LuaResults in
      LuaResults(Container.Kind.allCases.map(\.name), Int(Container.level))
    }
    m.define(
      "lnv_unpack", params: ["bytes"],
      doc: "Names and bytes of a file's sections, the header's bytes, those skipped, the level."
    ) { (bytes: LuaBytes) -> LuaResults in
      let container = try Container(decoding: bytes.bytes)
      return LuaResults(
        container.sections.map(\.kind.name), container.sections.map { LuaBytes($0.bytes) },
        container.headerCount, container.skippedCount, Int(container.level))
    }
    m.define(
      "lnv_program", params: ["names", "sources"],
      doc: "The section of a decoder's Lua modules."
    ) { (names: [String], sources: [LuaBytes]) -> LuaBytes in
      guard names.count == sources.count else {
        throw LunervError(
          .argument, "lnv_program: expected \(names.count) sources, got \(sources.count)")
      }
      return LuaBytes(
        try StoredProgram.encode(
          zip(names, sources).map { StoredProgram.Module(name: $0, source: $1.bytes) }))
    }
    m.define(
      "lnv_read_program", params: ["bytes"], doc: "The names and sources of a decoder's modules."
    ) { (bytes: LuaBytes) -> LuaResults in
      let modules = try section("decoder program") { try StoredProgram.decode(bytes.bytes) }
      return LuaResults(modules.map(\.name), modules.map { LuaBytes($0.source) })
    }
    m.define(
      "lnv_clip", params: ["height", "width", "frames", "fps", "timestamps"],
      doc: "The section that describes a clip."
    ) { (height: Int, width: Int, frames: Int, fps: Double, timestamps: [Double]) -> LuaBytes in
      let rate = Rational(approximating: fps > 0 ? fps : 25)
      return LuaBytes(
        try StoredClip(
          height: height, width: width, frames: frames,
          rate: (Int(rate.numerator), Int(rate.denominator)), seconds: timestamps
        ).encoded())
    }
    m.define(
      "lnv_read_clip", params: ["bytes"],
      doc: "Height, width, frames, frames per second, and the timestamps if they vary."
    ) { (bytes: LuaBytes) -> LuaResults in
      let clip = try section("clip") { try StoredClip(bytes.bytes) }
      let times = clip.times == nil ? nil : (0..<clip.frames).map { clip.seconds($0) }
      return LuaResults(
        list: [
          clip.height, clip.width, clip.frames,
          Double(clip.rate.numerator) / Double(clip.rate.denominator), times,
        ])
    }
  }

  private static func segmentTable(_ m: LuaModule) {
    m.define(
      "lnv_segments", params: ["frames", "parts"],
      doc: "The section that splits a clip: for each segment, its frames and its own parts."
    ) { (frames: [Int], parts: [Int]) -> LuaBytes in
      guard frames.count == parts.count, frames.allSatisfy({ $0 > 0 }) else {
        throw LunervError(.argument, "lnv_segments: expected frames and parts of each segment")
      }
      return LuaBytes(
        try StoredSegments(
          zip(frames, parts).map {
            .init(frames: $0, parts: .init(rawValue: UInt8(truncatingIfNeeded: $1)))
          }
        ).encoded())
    }
    m.define(
      "lnv_read_segments", params: ["bytes", "frames"],
      doc: "The frames and the parts of each segment of a clip with this number of frames."
    ) { (bytes: LuaBytes, frames: Int) -> LuaResults in
      let stored = try section("segments") { try StoredSegments(bytes.bytes, frames: frames) }
      return LuaResults(
        stored.segments.map(\.frames), stored.segments.map { Int($0.parts.rawValue) })
    }
  }

  // MARK: - Weights

  private static func floats(_ t: Tensor) throws -> [Float] {
    guard t.dtype == .f32 else {
      throw LunervError(.argument, "expected f32, got \(t.dtype.rawValue)")
    }
    return try t.withBytes { Array($0.bindMemory(to: Float.self)) }
  }

  private static func tensor(_ item: StoredTensors.Item, _ shape: [Int]) throws -> Tensor {
    try item.values.withUnsafeBytes { try Tensor.from(bytes: $0, shape, .f32) }
  }

  private static func storedSteps(_ step: Tensor, for t: Tensor) throws -> [Float] {
    let steps = try step.numbers().map { StoredStep.rounded(Float($0)) }
    guard steps.count == 1 || (steps.count == t.shape.first && t.count > 0) else {
      throw LunervError(
        .argument, "expected one step, or one for each row of \(t.shape); got \(steps.count)")
    }
    return steps
  }

  /// A tensor rounded to multiples of its step, or of its rows' steps.
  static func item(_ t: Tensor, step: Tensor) throws -> StoredTensors.Item {
    let steps = try storedSteps(step, for: t)
    return StoredTensors.Item(
      symbols: try StoredStep.symbols(of: try floats(t), steps: steps), steps: steps)
  }

  /// The numbers that initialise tensors, as uniform_(−2²⁴, 2²⁴) draws them.
  private static func draw(_ from: Origin, _ count: Int) -> [Int32] {
    var generator = Philox(seed: from.seed, counter: from.counter)
    return generator.integers(count)
  }

  private static func origins(_ given: [[Int]], of tensors: [Tensor]) throws -> [Origin?] {
    if given.isEmpty { return tensors.map { _ in nil } }
    guard given.count == tensors.count else {
      throw LunervError(
        .argument, "origins: expected \(tensors.count), got \(given.count)")
    }
    return try given.map { origin in
      if origin.isEmpty { return nil }
      guard origin.count == 2 else {
        throw LunervError(
          .argument, "origins: expected seed and counter, got \(origin.count) numbers")
      }
      return Origin(
        seed: UInt64(bitPattern: Int64(origin[0])), counter: UInt64(bitPattern: Int64(origin[1])))
    }
  }

  private static func tensors(_ m: LuaModule) {
    m.define(
      "encode_tensors", params: ["tensors", "steps", "options"],
      doc:
        "Quantised tensors as bytes, and the kind of their section; each has one step, or one for each of its first dimension. options.origins: for each, the seed and counter that it was drawn from, or an empty list."
    ) { (tensors: [Tensor], steps: [Tensor], o: Coding) -> LuaResults in
      guard tensors.count == steps.count else {
        throw LunervError(
          .argument, "encode_tensors: \(tensors.count) tensors, but \(steps.count) steps")
      }
      let items = try zip(tensors, steps).map { try item($0, step: $1) }
      let known = try families(o.families)
      let section = try StoredTensors.section(
        items, shapes: tensors.map(\.shape),
        origins: known.contains(.context) ? try origins(o.origins, of: tensors) : [], draw: draw,
        among: known)
      return LuaResults(LuaBytes(section.bytes), section.kind.name)
    }
    m.define(
      "round_for_rate", params: ["tensor", "step", "sensitivity", "price", "options"],
      doc:
        "A tensor quantised with regard to the bits it costs (RateAwareRounding); options.origins: its origin, in a list."
    ) {
      (t: Tensor, step: Tensor, sensitivity: Tensor, price: Double, o: Coding) -> Tensor in
      guard sensitivity.dtype == .f32, sensitivity.shape == t.shape else {
        throw LunervError(
          .argument, "round_for_rate: expected sensitivities in the shape of the tensor, as f32")
      }
      let steps = try storedSteps(step, for: t)
      let draws = try origins(o.origins, of: [t])[0].map { draw($0, t.count) } ?? []
      let item = try RateAwareRounding.item(
        try floats(t), steps: steps, sensitivity: try floats(sensitivity), price: price,
        among: try families(o.families), draws: draws)
      return try tensor(item, t.shape)
    }
    m.define(
      "decode_tensors", params: ["kind", "bytes", "shapes"],
      doc: "The tensors that encode_tensors was given, quantised."
    ) { (kind: String, bytes: LuaBytes, shapes: [[Int]]) -> [Tensor] in
      // The caller has bounded each shape; together they must fit into memory.
      let (known, count) = try sizes(of: shapes)
      return try Work.decoding(symbols: count, models: shapes.count) {
        let items = try section(kind) {
          kind == "seeded weights"
            ? try SeededTensors.decode(bytes.bytes, shapes: known, draw: draw)
            : try StoredTensors.decode(bytes.bytes, shapes: known)
        }
        return try zip(items, shapes).map { try tensor($0, $1) }
      }
    }
  }

  /// The shapes, each and all together small enough for memory, and their total number of elements.
  private static func sizes(of shapes: [[Int]]) throws -> ([[Int]], Int) {
    let empty = try shapes.map { try Tensor.full(0, $0) }
    return (empty.map(\.shape), empty.reduce(0) { $0 + $1.count })
  }

  // MARK: - Embeddings

  private static func embeddings(_ m: LuaModule) -> LuaClass<EmbeddingStore> {
    m.define(
      "encode_embeddings", params: ["frames", "step", "offset", "options"],
      doc:
        "The embeddings of all frames, a list of tensors of one shape, as bytes, and the kind of their section."
    ) { (frames: [Tensor], step: Double, offset: Double, o: Coding) -> LuaResults in
      let (stored, shift) = (StoredStep.rounded(Float(step)), Float(offset))
      guard shift.isFinite else {
        throw LunervError(
          .numeric, "encode_embeddings: offset: expected a finite number, got \(offset)")
      }
      guard frames.allSatisfy({ $0.shape == frames.first?.shape }) else {
        throw LunervError(.argument, "encode_embeddings: expected tensors of one shape")
      }
      let codes = try frames.map {
        try StoredStep.symbols(of: try floats($0), steps: [stored], offset: shift)
      }
      let groupSize = o.group ?? StoredEmbeddings.usualGroup
      guard StoredEmbeddings.groupSizes.contains(groupSize) else {
        throw LunervError(
          .argument,
          "encode_embeddings: group: expected from 1 to \(StoredEmbeddings.groupSizes.upperBound) "
            + "frames, got \(groupSize)")
      }
      let section = try StoredEmbeddings.section(
        codes, shape: frames.first?.shape ?? [], step: stored, offset: shift,
        groupSize: groupSize, predicting: o.predict,
        among: try families(o.families))
      return LuaResults(LuaBytes(section.bytes), section.kind.name)
    }
    m.define(
      "decode_embeddings", params: ["kind", "bytes", "frames", "shape"],
      doc: "The tensors that encode_embeddings was given, quantised: see :frame(i)."
    ) { (kind: String, bytes: LuaBytes, frames: Int, shape: [Int]) -> EmbeddingStore in
      let empty = try Tensor.full(0, shape)
      guard frames > 0, frames <= 1 << 40 / max(empty.count, 1) else {
        throw LunervError(
          .argument, "decode_embeddings: expected at least 1 frame that fits, got \(frames)")
      }
      return EmbeddingStore(
        try section(kind) {
          try StoredEmbeddings(
            bytes.bytes, frames: frames, shape: empty.shape,
            form: kind == "mixed embeddings" ? .mixed : .differences)
        }, shape: shape)
    }
    let c = LuaClass<EmbeddingStore>()
    c.method("frame", params: ["i"], doc: "The embedding of frame i.") {
      (store: EmbeddingStore, i: Int) -> Tensor in
      try store.frame(try position(i, count: store.frames, "frame"))
    }
    return c
  }
}
