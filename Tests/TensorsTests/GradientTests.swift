// The tape beyond backward of a scalar: seeds, gradients of chosen entries, hooks, operators with
// several results, and checkpointed parts.
import Support
import Testing

@testable import Tensors

extension TensorsTests {
  @Suite struct GradientTests {
    struct Refusal: Error {}

    /// (x·y, x + y, a count), with its gradients written by hand.
    private func joint(
      _ x: Tensor, _ y: Tensor, seen: @escaping ([Tensor?]) throws -> Void = { _ in }
    ) throws -> [Tensor] {
      let (p, q) = (x.detach(), y.detach())
      let results = [try p.multiplied(by: q), try p.adding(q), try Tensor.full(2, [], .i32)]
      return try Tensor.joint(results, of: [x, y], name: "joint") { gradients in
        try seen(gradients)
        guard let dp = gradients[0], let ds = gradients[1] else { throw Refusal() }
        return [try dp.multiplied(by: q).adding(ds), try dp.multiplied(by: p).adding(ds)]
      }
    }

    @Test func severalResultsShareABackward() throws {
      let entries = Session.current.tapeEntries
      do {
        let x = try Tensor.leaf([1, 2], [2]), y = try Tensor.leaf([3, 4], [2])
        var calls = 0
        let out = try joint(x, y) { gradients in
          calls += 1
          #expect(gradients[2] == nil)
        }
        #expect(!out[2].requiresGrad)
        let loss = try out[0].multiplied(by: out[1]).sum()
        let found = try Tensor.gradients(of: [loss], [nil], by: [x, y]).map { try $0?.numbers() }
        // d(xy(x + y)) = 2xy + y², x² + 2xy.
        #expect(found == [[15, 32], [7, 20]])
        #expect(calls == 1 && x.grad == nil)
        #expect(throws: LunervError.self) { try loss.backward() }
      }
      #expect(Session.current.tapeEntries == entries)
    }

    @Test func aResultThatIsNotUsedHasZeros() throws {
      let x = try Tensor.leaf([1, 3, 4, 5], seed: 1, channelsLast: true)
      let y = try Tensor.leaf([1, 3, 4, 5], seed: 2)
      let out = try joint(x, y) { gradients in
        let zeros = try gradients[0]?.numbers()
        #expect(zeros == [Double](repeating: 0, count: 60))
      }
      try out[1].sum().backward()
      #expect(try x.grad?.numbers() == [Double](repeating: 1, count: 60))
    }

    @Test func customGradientsAreChecked() throws {
      let x = try Tensor.leaf([1, 2], [2])
      for wrong in [try Tensor.full(1, [3]), try Tensor.full(1, [2], .f64)] {
        let y = try Tensor.joint([x.detach()], of: [x], name: "wrong") { _ in [wrong] }
        #expect(throws: LunervError.self) { try y[0].sum().backward() }
      }
      // A missing gradient counts as none.
      let y = try Tensor.joint([x.detach()], of: [x], name: "none") { _ in [] }
      try y[0].sum().backward()
      #expect(x.grad == nil)
    }

    @Test func seeds() throws {
      let x = try Tensor.leaf([1, 2], [2])
      let y = try x.squared()
      #expect(throws: LunervError.self) { try y.backward() }
      #expect(throws: LunervError.self) { try y.backward(.full(1, [1])) }
      #expect(throws: LunervError.self) { try y.backward(.full(1, [2], .f64)) }
      try y.backward(.from([10, 100], [2]), retaining: true)
      #expect(try x.grad?.numbers() == [20, 400])
      try y.backward(.from([1, 1], [2]))
      #expect(try x.grad?.numbers() == [22, 404])
      #expect(throws: LunervError.self) { try y.backward(.from([1, 1], [2])) }
    }

    /// Intermediate entries are targets like leaves; entries that lead to no target are neither
    /// traversed nor freed.
    @Test func gradientsOfChosenEntries() throws {
      let x = try Tensor.leaf([1, 2], [2]), w = try Tensor.leaf([3, 4], [2])
      var visits = 0
      let aside = try Tensor.joint([w.detach()], of: [w], name: "aside") { gradients in
        visits += 1
        return [gradients[0]]
      }[0]
      let hidden = try x.squared()
      let loss = try hidden.multiplied(by: aside).sum()
      let found = try Tensor.gradients(
        of: [loss], [nil], by: [hidden, x, hidden], retaining: true
      ).map { try $0?.numbers() }
      #expect(found == [[3, 4], [6, 16], [3, 4]])
      #expect(visits == 0)
      let all = try Tensor.gradients(of: [loss], [nil], by: [w]).map { try $0?.numbers() }
      #expect(all == [[1, 4]] && visits == 1)
      // Below the loss itself only `aside` was traversed.
      #expect(try Tensor.gradients(of: [hidden.sum()], [nil], by: [x])[0]?.numbers() == [2, 4])
      #expect(try Tensor.gradients(of: [x.sum()], [nil], by: [w])[0] == nil)
    }

    @Test func hooksReplaceAndEnd() throws {
      let x = try Tensor.leaf([1, 2], [2])
      let y = try x.multiplied(by: 3)
      var seen: [[Double]] = []
      _ = try y.addHook {
        seen.append(try $0.numbers())
        return try $0.multiplied(by: 10)
      }
      let hook = try x.addHook {
        seen.append(try $0.numbers())
        return nil
      }
      try y.multiplied(by: y).sum().backward()
      #expect(seen == [[6, 12], [180, 360]])
      hook.remove()
      try x.sum().backward()
      #expect(seen.count == 2)
      #expect(try x.grad?.numbers() == [181, 361])
      #expect(throws: LunervError.self) { try Tensor.full(1, [2]).addHook { $0 } }
      _ = try x.addHook { _ in try Tensor.full(1, [3]) }
      #expect(throws: LunervError.self) { try x.sum().backward() }
    }

    /// A failed traversal leaves nothing of its graph, nor the objects held by its hooks.
    @Test func aFailedTraversalFreesTheGraph() throws {
      let entries = Session.current.tapeEntries
      let blocks = Session.current.living.blocks
      for _ in 0..<3 {
        let x = try Tensor.leaf([1, 4, 32, 32], seed: 1)
        let w = try Tensor.leaf([8, 4, 3, 3], seed: 2)
        let y = try x.conv2d(w, nil, padding: 1).gelu()
        // Never reached, and it holds a tensor of its own.
        _ = try y.addHook { _ in y }
        let bad = try Tensor.joint([y.detach()], of: [y], name: "bad") { _ in throw Refusal() }[0]
        let loss = try bad.squared().mean()
        #expect(throws: Refusal.self) { try loss.backward() }
        #expect(throws: LunervError.self) { try y.sum().backward() }
      }
      #expect(Session.current.tapeEntries == entries)
      #expect(Session.current.living.blocks == blocks)
      #expect(Session.current.pendingSums.isEmpty && Session.current.isRecording)
    }

    @Test func straightThrough() throws {
      let x = try Tensor.leaf([0.2, 1.7], [2])
      let y = try x.detach().multiplied(by: 0).straightThrough(x)
      #expect(try y.numbers() == [0, 0])
      try y.multiplied(by: 5).sum().backward()
      #expect(try x.grad?.numbers() == [5, 5])
      #expect(throws: LunervError.self) { try Tensor.full(1, [3]).straightThrough(x) }
      #expect(throws: LunervError.self) { try Tensor.full(1, [2], .f64).straightThrough(x) }
    }

    /// Gradients through a checkpointed part are those of the part itself, wherever its inputs come
    /// from; only its results are kept.
    @Test func checkpointedPartsAreRecomputed() throws {
      let x = try Tensor.leaf([1, 2], [2]), w = try Tensor.leaf([3, 4], [2])
      let far = try w.squared()
      var runs = 0
      func part(_ a: Tensor) throws -> [Tensor] {
        runs += 1
        let inner = try a.multiplied(by: far).sin()
        return [try inner.multiplied(by: w), try inner.adding(far)]
      }
      func gradients(_ y: [Tensor]) throws -> [[Double]?] {
        try Tensor.gradients(
          of: [y[0].multiplied(by: y[1]).sum()], [nil], by: [x, w, far], retaining: true
        ).map { try $0?.numbers() }
      }
      func once() throws -> Tensor.Recorded {
        let leaf = x.detach()
        try leaf.setRequiresGrad(true)
        return ([leaf], try part(leaf))
      }
      let expected = try gradients(part(x))
      let entries = Session.current.tapeEntries
      let begin = Session.current.tapeSequence
      let out = try Tensor.checkpoint(once(), of: [x], since: begin, again: once)
      // The operator and its two results.
      #expect(Session.current.tapeEntries == entries + 3)
      #expect(try gradients(out) == expected && runs == 3)
      #expect(try gradients(out) == expected && runs == 4)
    }

    /// Traversing to one entry of a long chain does not recurse either.
    @Test func longChain() throws {
      let entries = Session.current.tapeEntries
      do {
        let x = try Tensor.leaf([0.5, -1], [2])
        var y = x
        for _ in 0..<100_000 {
          y = try Tensor.joint([y.detach()], of: [y], name: "same") { $0 }[0]
        }
        #expect(try Tensor.gradients(of: [y.sum()], [nil], by: [x])[0]?.numbers() == [1, 1])
      }
      #expect(Session.current.tapeEntries == entries)
    }
  }
}
