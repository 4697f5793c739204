// Blocks and masks: their gradients against finite differences, and the elements that writing
// leaves alone.
import Support
import Testing

@testable import Tensors

private let image = [2, 5, 3, 4]

private enum Catalogue {
  /// Reads and writes elements by their position.
  static let all: [Operator] = {
    var all: [Operator] = []
    func dim(_ first: Int, _ count: Int, step: Int = 1, dropped: Bool = false) -> Block.Entries {
      Block.Entries(first: first, count: count, step: step, isDropped: dropped)
    }
    let blocks: [(String, Block)] = [
      ("all", Block([dim(0, 2), dim(0, 5), dim(0, 3), dim(0, 4)])),
      ("a row", Block([dim(1, 1, dropped: true), dim(0, 5), dim(0, 3), dim(0, 4)])),
      ("every other channel", Block([dim(0, 2), dim(0, 3, step: 2), dim(0, 3), dim(1, 2)])),
      ("a channel", Block([dim(0, 2), dim(3, 1, dropped: true), dim(1, 2), dim(0, 4)])),
      ("a channel kept", Block([dim(0, 2), dim(3, 1), dim(1, 2), dim(0, 2, step: 3)])),
      ("an element", Block([1, 4, 2, 0].map { dim($0, 1, dropped: true) })),
    ]
    for (name, block) in blocks {
      all.append(Operator("picked: \(name)", image) { try $0[0].picked(block).cos() })
      // The whole block, one number per column, one number, more dimensions than needed.
      var sources = [block.shape, [], [1, 1, 1, 1, 1]]
      if let last = block.shape.last { sources.append([last]) }
      for source in sources {
        all.append(
          Operator("written: \(name) from \(source)", image, source) {
            let y = try $0[0].sin()
            try y.write(block, $0[1])
            return try y.multiplied(by: y)
          })
        all.append(
          Operator("written to a constant: \(name) from \(source)", source) {
            let y = try Tensor.full(0.5, image, $0[0].dtype)
            try y.write(block, $0[0].cos())
            return y
          })
      }
    }
    all.append(Operator("row", image) { try $0[0].row(1).cos() })
    all.append(Operator("row of a vector", [5]) { try $0[0].row(4).cos() })
    @Sendable func mask(_ x: Tensor) throws -> Tensor {
      try Tensor.from(
        (0..<x.count).map { $0 % 3 == 0 ? 1 : 0 }, x.shape, x.shape.count == 4 ? .bool : x.dtype)
    }
    for shape in [image, [2, 9], []] {
      let chosen = (elements(shape) + 2) / 3
      all.append(Operator("masked", shape) { try $0[0].masked(mask($0[0])).cos() })
      for source in [[chosen], [], [1, 1]] {
        all.append(
          Operator("mask written from \(source)", shape, source) {
            let y = try $0[0].sin()
            try y.write(mask(y), $0[1])
            return try y.multiplied(by: y)
          })
      }
    }
    return all
  }()
}

extension TensorsTests {
  @Suite struct IndexingTests {
    @Test func gradientsAreSlopes() throws {
      for op in Catalogue.all {
        do { try op.checkGradients() } catch { Issue.record(error, "\(op.testDescription)") }
      }
    }

    @Test func singleAgreesWithDouble() throws {
      for op in Catalogue.all {
        do { try op.checkSingle() } catch { Issue.record(error, "\(op.testDescription)") }
      }
    }

    /// Memory that is not shared is written in place; shared memory is copied first.
    @Test func writesCopyOnlyWhatIsShared() throws {
      let x = try Tensor.full(0, [4, 3])
      let block = Block([.init(first: 1, count: 1, isDropped: true), .init(first: 0, count: 3)])
      func address() throws -> UnsafeMutablePointer<Float> { try x.value.memory(Float.self) }
      let before = try address()
      try x.write(block, .full(1, []))
      #expect(try address() == before)
      let view = try x.viewed([12])
      try x.write(block, .full(2, []))
      #expect(try address() != before)
      #expect(try view.sum().item() == 3 && x.sum().item() == 6)
      let waiting = try x.adding(1)
      let alone = try address()
      try x.write(block, .full(3, []))
      #expect(try address() != alone && waiting.sum().item() == 18)
    }

    @Test func nothingLeaks() throws {
      let entries = Session.current.tapeEntries
      let blocks = Session.current.living.blocks
      for traversed in [true, false] {
        let w = try Tensor.leaf([1, 2, 3], [3])
        let y = try Tensor.full(0, [50, 3])
        for i in 0..<50 {
          let row = Block([.init(first: i, count: 1, isDropped: true), .init(first: 0, count: 3)])
          try y.write(row, w.multiplied(by: Double(i)))
        }
        let loss = try y.masked(.full(1, [50, 3], .bool)).sum().adding(y.row(3).sum())
        if traversed {
          try loss.backward()
          #expect(try w.grad?.numbers() == [1228, 1228, 1228])
        }
      }
      #expect(Session.current.tapeEntries == entries)
      #expect(Session.current.living.blocks == blocks)
    }

    @Test func wrongWritesAreErrors() throws {
      let block = Block([.init(first: 0, count: 2)])
      let x = try Tensor.full(0, [2]), leaf = try Tensor.leaf([1, 2], [2])
      let wrong: [() throws -> Void] = [
        { try x.write(block, .full(0, [3])) }, { try x.write(block, .full(0, [2, 2])) },
        { try x.write(block, .full(0, [2], .f64)) }, { try leaf.write(block, .full(0, [2])) },
        { try x.write(.full(2, [2]), .full(0, [])) }, { try x.write(.full(1, [3]), .full(0, [])) },
        { try x.write(.full(1, [2]), .full(0, [3])) }, { _ = try x.row(2) },
        { _ = try Tensor.full(0, []).row(0) }, { _ = try x.masked(.full(1, [1])) },
      ]
      for (i, f) in wrong.enumerated() {
        #expect(throws: LunervError.self, "write \(i)") { try f() }
      }
      #expect(try x.numbers() == [0, 0])
    }
  }
}
