// The profiler: which module is charged for deferred work, and that nothing is recorded without it.
import Kernels
import Testing

@testable import Tensors

extension TensorsTests {
  @Suite struct ProfilerTests {
    /// A session with a profiler whose Lua is in the module that `place` names.
    private final class Profiled {
      let session = Session()
      let profiler: Profiler
      private let place: Place

      private final class Place { var site = 0 }

      init() {
        let place = Place()
        self.place = place
        profiler = Profiler { place.site }
        session.profiler = profiler
      }

      /// Runs an operator, called by Lua in a module.
      func call<R>(_ operation: String, in path: String, _ body: () throws -> R) throws -> R {
        place.site = profiler.site(of: path)
        profiler.beginCall(profiler.operation(named: operation))
        defer {
          profiler.end()
          place.site = 0
        }
        return try body()
      }

      func records(in path: String) -> [Profiler.Record] {
        profiler.records.filter { profiler.paths[$0.path] == path }
      }

      func record(_ operation: String, in path: String, backward: Bool = false) -> Profiler.Record?
      {
        records(in: path).first {
          profiler.operations[$0.operation] == operation && $0.isBackward == backward
        }
      }
    }

    /// 2 · outputs · height · width · inputs / groups · kernel².
    @Test(arguments: [DType.f32, .f64])
    func convolutionsAreCountedExactly(_ dtype: DType) throws {
      let profiled = Profiled()
      try profiled.session.use {
        let x = try Tensor.leaf([2, 8, 9, 10], seed: 1, dtype)
        let w = try Tensor.leaf([12, 4, 3, 3], seed: 2, dtype)
        let y = try profiled.call("conv2d", in: "A") {
          try x.conv2d(w, nil, stride: 2, padding: 1, groups: 2)
        }
        #expect(profiled.record("conv2d", in: "A")?.flops == 0)
        let flops = Double(2 * 2 * 12 * 5 * 5 * 4 * 9)
        let mean = try profiled.call("mean", in: "B") { try y.mean() }
        try profiled.call("backward", in: "B") { try mean.backward() }
        #expect(profiled.record("conv2d", in: "A")?.flops == flops)
        #expect(profiled.record("conv2d", in: "A")?.calls == 1)
        for part in ["conv2d data gradient", "conv2d weight gradient"] {
          let record = profiled.record(part, in: "A", backward: true)
          #expect(record?.flops == flops)
          #expect(record?.calls == 1)
        }
        #expect(!profiled.records(in: "B").contains { $0.flops >= flops })
      }
    }

    @Test func aShuffledConvolutionIsCountedOnce() throws {
      let profiled = Profiled()
      try profiled.session.use {
        for dtype in [DType.f32, .f64] {
          let x = try Tensor.leaf([1, 8, 6, 6], seed: 1, dtype, gradient: false)
          let w = try Tensor.leaf([16, 8, 3, 3], seed: 2, dtype, gradient: false)
          let y = try profiled.call("conv2d", in: dtype.rawValue) {
            try x.conv2d(w, nil, padding: 1)
          }
          let z = try profiled.call("pixel_shuffle", in: "B") { try y.pixelShuffled(2) }
          _ = try profiled.call("tolist", in: "B") { try z.numbers() }
          #expect(
            profiled.record("conv2d", in: dtype.rawValue)?.flops == Double(2 * 16 * 36 * 8 * 9))
        }
      }
    }

    /// The last operator of a chain is charged for all of it, and its module for its gradient.
    @Test func aChainCountsWhereItEnds() throws {
      let profiled = Profiled()
      try profiled.session.use {
        let x = try Tensor.leaf([1, 3, 40, 50], seed: 1)
        let a = try profiled.call("sin", in: "A") { try x.sin() }
        let b = try profiled.call("exp", in: "B") { try a.exp() }
        try profiled.call("evaluate", in: "C") { try b.materialise() }
        let chain = profiled.record("exp", in: "B")
        #expect(chain?.flops == Double(2 * 3 * 40 * 50))
        #expect(chain?.chains == 1)
        #expect(chain?.links == 2)
        #expect(profiled.record("sin", in: "A")?.flops == 0)
        #expect(profiled.record("evaluate", in: "C")?.flops == 0)
        let sum = try profiled.call("sum", in: "C") { try b.sum() }
        try profiled.call("backward", in: "C") { try sum.backward() }
        #expect(profiled.record("sin", in: "A", backward: true)?.calls == 0)
        #expect((profiled.record("sin", in: "A", backward: true)?.nanoseconds ?? 0) > 0)
        #expect((profiled.record("exp", in: "B", backward: true)?.nanoseconds ?? 0) > 0)
      }
    }

    @Test func recordsSumToTheTimeSinceTheStart() throws {
      let profiled = Profiled()
      try profiled.session.use {
        let x = try Tensor.leaf([1, 8, 40, 50], seed: 1)
        let w = try Tensor.leaf([8, 8, 3, 3], seed: 2)
        let y = try profiled.call("conv2d", in: "A") { try x.conv2d(w, nil, padding: 1).gelu() }
        try profiled.call("backward", in: "B") { try y.mean().backward() }
        let all = profiled.profiler.elapsed()
        #expect(profiled.profiler.records.map(\.nanoseconds).reduce(0, +) == all)
      }
    }

    @Test func memoryIsChargedToItsModule() throws {
      let profiled = Profiled()
      try profiled.session.use {
        let x = try Tensor.leaf([64, 64], seed: 1, gradient: false)
        let before = profiled.session.living.bytes
        do {
          let y = try profiled.call("sin", in: "A") { try x.sin() }
          try profiled.call("evaluate", in: "B") { try y.materialise() }
        }
        let memory = profiled.profiler.memory
        let owner = try #require(profiled.profiler.paths.firstIndex(of: "A"))
        #expect(memory.mostHeld[owner] == 64 * 64 * 4)
        #expect(memory.peak == before + 64 * 64 * 4)
        #expect(memory.ownerAtPeak == owner)
        #expect(profiled.session.living.bytes == before)
      }
    }

    /// Values and tape entries that are older, or of another profile, are charged to their reader.
    @Test func whatIsOlderBelongsToItsReader() throws {
      let first = Profiled()
      try first.session.use {
        let x = try Tensor.leaf([1, 3, 40, 50], seed: 1)
        let y = try first.call("sin", in: "Old") { try x.sin() }
        let count = first.profiler.records.count
        let second = Profiled()
        first.session.profiler = second.profiler
        let sum = try second.call("sum", in: "New") { try y.sum() }
        try second.call("backward", in: "New") { try sum.backward() }
        #expect(first.profiler.records.count == count)
        #expect(!second.profiler.paths.contains("Old"))
        // Without a profiler nothing is recorded at all.
        first.session.profiler = nil
        let records = second.profiler.records.map(\.calls)
        try x.exp().sum().backward()
        #expect(second.profiler.records.map(\.calls) == records)
      }
    }
  }
}
