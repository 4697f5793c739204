import Kernels
import LuaBridge
import Support
import Tensors

/// Tensors for Lua: constructors. The other files of this name read, write, index, compute, reshape
/// and reduce.
enum TensorModule {
  static func define(_ s: TensorSurface, _ session: Session) {
    making(s.module, session)
    likeness(s, session)
    randomNumbers(s.module, session)
    reading(s)
    indexing(s)
    writing(s, session)
    arithmetic(s)
    comparisons(s)
    shapes(s)
    joining(s)
    reductions(s)
    recording(s)
  }

  private static func making(_ m: LuaModule, _ session: Session) {
    m.pure(
      "tensor", params: ["numbers", "options"],
      doc: """
        A tensor of a number or of nested tables of numbers.
        Unlike PyTorch, it is f32 unless `dtype` says otherwise, and dimensions and elements count
        from 1, from the end when negative. An integer dtype refuses what it cannot hold.

        `x[i]` is a row, `x[{ { 1, 4 }, {}, -1 }]` a block ({ first, last } and { first, last, step }
        include both ends, {} is all, a number drops its dimension), `x[mask]` the elements where a
        mask of zeros and ones has ones. Gradients flow through all three, and each can be assigned a
        number, a tensor or tables: then gradients flow to what was written. A row or block is a value
        of its own: to write an element, assign `x[{ i, j }]`, not `x[i][j]`. `ipairs(x)` visits rows.

            local x = lv.tensor { { 1, 2 }, { 3, 4 } }
            local levels = lv.tensor({ 0, 255 }, { dtype = "u8" })
            x[{ {}, 2 }] = x[{ {}, 1 }] * 10
            x[x:gt(15)] = 0

        @param numbers number|table  the elements; the depth of tables gives the dimensions
        """
    ) { (n: Numbers, o: MakeOptions) in
      try o.finish(Tensor.from(n.numbers, n.shape, o.dtype ?? .f32))
    }
    m.pure(
      "zeros", params: ["sizes…", "options"],
      doc: """
        A tensor of zeros.

            local x = lv.zeros(2, 3)                      -- also lv.zeros({ 2, 3 })
            local n = lv.zeros(4, { dtype = "i32" })

        @param ... integer|integer[]|table  the sizes, as arguments or in one table; options last
        """
    ) { (s: NewSizes) in
      try s.options.finish(Tensor.full(0, s.shape, s.options.dtype ?? .f32))
    }
    m.pure(
      "ones", params: ["sizes…", "options"],
      doc: """
        A tensor of ones.

            local x = lv.ones(2, 3)

        @param ... integer|integer[]|table  the sizes, as arguments or in one table; options last
        """
    ) { (s: NewSizes) in
      try s.options.finish(Tensor.full(1, s.shape, s.options.dtype ?? .f32))
    }
    m.pure(
      "full", params: ["value", "sizes…", "options"],
      doc: """
        A tensor of one value.
        Unlike PyTorch, the value comes first and the sizes follow.

            local x = lv.full(0.5, 2, 3)

        @param value number  what every element is
        @param ... integer|integer[]|table  the sizes, as arguments or in one table; options last
        """
    ) { (value: Double, s: NewSizes) in
      try s.options.finish(Tensor.full(value, s.shape, s.options.dtype ?? .f32))
    }
    m.pure(
      "arange", params: ["first", "last", "step", "options"],
      doc: """
        The numbers first, first + step, … up to last.
        Unlike PyTorch, `last` is included if a step reaches it. The result is empty if `last` lies
        before `first` in the direction of the step.

            lv.arange(1, 5)         -- 1 2 3 4 5
            lv.arange(0, 1, 0.25)   -- 0 0.25 0.5 0.75 1
        """
    ) { (first: Double, last: Double, step: Double?, o: MakeOptions) in
      let step = step ?? 1
      guard step != 0, first.isFinite, last.isFinite, step.isFinite else {
        throw LunervError(.argument, "arange: expected finite numbers and a step that is not 0")
      }
      let count = ((last - first) / step + 1e-9).rounded(.down) + 1
      guard count < 1e9, count * 8 <= Double(session.memoryLimit) else {
        throw LunervError(.memory, "arange: \(count) numbers are too many")
      }
      // The count is −inf if the span overflows against the direction of the step.
      let whole = Int(max(0, count))
      try Work.charge(whole)
      let numbers = (0..<whole).map { first + Double($0) * step }
      return try o.finish(Tensor.from(numbers, [numbers.count], o.dtype ?? .f32))
    }
    m.pure(
      "linspace", params: ["first", "last", "count", "options"],
      doc: """
        `count` numbers from first to last, both included, evenly spaced.
        One number is `first`.

            lv.linspace(0, 1, 5)   -- 0 0.25 0.5 0.75 1
        """
    ) { (first: Double, last: Double, count: Int, o: MakeOptions) in
      guard first.isFinite, last.isFinite, count >= 0 else {
        throw LunervError(
          .argument, "linspace: expected finite numbers and a count of at least 0")
      }
      guard (last - first).isFinite else {
        throw LunervError(
          .argument, "linspace: expected numbers less than 1.8e308 apart, got \(first) and \(last)")
      }
      guard count < 1_000_000_000, count <= session.memoryLimit / 8 else {
        throw LunervError(.memory, "linspace: \(count) numbers are too many")
      }
      try Work.charge(count)
      // Counts from the nearer end: the last number is exactly `last`.
      let step = count > 1 ? (last - first) / Double(count - 1) : 0
      let numbers = (0..<count).map { i in
        2 * i < count ? first + Double(i) * step : last - Double(count - 1 - i) * step
      }
      return try o.finish(
        Tensor.from(count == 1 ? [first] : numbers, [count], o.dtype ?? .f32))
    }
    m.pure(
      "eye", params: ["n", "options"],
      doc: """
        The identity matrix (n, n).

            lv.eye(2)   -- { { 1, 0 }, { 0, 1 } }
        """
    ) { (n: Int, o: MakeOptions) in
      let matrix = try Tensor.full(0, [n, n], o.dtype ?? .f32)
      if n > 0 {
        let diagonal = Block([.init(first: 0, count: n, step: n + 1)])
        let flat = try Tensor.full(0, [n * n], matrix.dtype)
        try flat.write(diagonal, Tensor.full(1, [], matrix.dtype))
        return try o.finish(flat.viewed([n, n]))
      }
      return try o.finish(matrix)
    }
    m.define(
      "is_tensor", params: ["x"],
      doc: """
        Whether x is a tensor.

            lv.is_tensor(lv.zeros(1))   -- true

        @param x any  anything
        """
    ) { (x: IsTensor) -> Bool in x.holds }
  }

  /// Tensors in the shape and type of another.
  private static func likeness(_ s: TensorSurface, _ session: Session) {
    func floating(_ x: Tensor, _ o: MakeOptions, _ name: String) throws -> Tensor {
      let dtype = o.dtype ?? x.dtype
      guard dtype == .f32 || dtype == .f64 else {
        throw LunervError(.argument, "\(name): expected f32 or f64, got \(dtype.rawValue)")
      }
      return try Tensor.full(0, x.shape, dtype)
    }
    s.pure(
      "zeros_like", params: ["options"],
      doc: """
        Zeros in the shape and dtype of x.

            local total = lv.zeros_like(x)
        """
    ) { (x: Tensor, o: MakeOptions) in
      try o.finish(Tensor.full(0, x.shape, o.dtype ?? x.dtype))
    }
    s.pure(
      "ones_like", params: ["options"],
      doc: """
        Ones in the shape and dtype of x.

            local weight = lv.ones_like(x, { requires_grad = true })
        """
    ) { (x: Tensor, o: MakeOptions) in
      try o.finish(Tensor.full(1, x.shape, o.dtype ?? x.dtype))
    }
    s.pure(
      "full_like", params: ["value", "options"],
      doc: """
        One value in the shape and dtype of x.

            local half = lv.full_like(x, 0.5)
        """
    ) { (x: Tensor, value: Double, o: MakeOptions) in
      try o.finish(Tensor.full(value, x.shape, o.dtype ?? x.dtype))
    }
    s.pure(
      "rand_like", params: ["options"],
      doc: """
        Uniform draws from [0, 1) in the shape and dtype of x, which is f32 or f64.

            local noise = lv.rand_like(x) - 0.5
        """
    ) { (x: Tensor, o: MakeOptions) in
      let t = try floating(x, o, "rand_like")
      try t.fillUniform(&session.random, lo: 0, hi: 1)
      return try o.finish(t)
    }
    s.pure(
      "randn_like", params: ["options"],
      doc: """
        Draws from the normal distribution in the shape and dtype of x, which is f32 or f64.

            local noisy = x + 0.1 * lv.randn_like(x)
        """
    ) { (x: Tensor, o: MakeOptions) in
      let t = try floating(x, o, "randn_like")
      try t.fillNormal(&session.random, mean: 0, deviation: 1)
      return try o.finish(t)
    }
  }

  private static func randomNumbers(_ m: LuaModule, _ session: Session) {
    m.pure(
      "randn", params: ["sizes…", "options"],
      doc: """
        Draws from the normal distribution of mean 0 and deviation 1.
        The same seed gives the same numbers on every machine and with any number of threads.

            local x = lv.randn(2, 3)

        @param ... integer|integer[]|table  the sizes, as arguments or in one table; options last
        """
    ) { (s: NewSizes) in
      let t = try Tensor.full(0, s.shape, s.options.dtype ?? .f32)
      try t.fillNormal(&session.random, mean: 0, deviation: 1)
      return try s.options.finish(t)
    }
    m.pure(
      "rand", params: ["sizes…", "options"],
      doc: """
        Uniform draws from [0, 1).

            local x = lv.rand(2, 3)

        @param ... integer|integer[]|table  the sizes, as arguments or in one table; options last
        """
    ) { (s: NewSizes) in
      let t = try Tensor.full(0, s.shape, s.options.dtype ?? .f32)
      try t.fillUniform(&session.random, lo: 0, hi: 1)
      return try s.options.finish(t)
    }
    m.define(
      "seed", params: ["n"],
      doc: """
        Seeds the random number generator.
        Random tensors, initial weights and the order of frames are drawn from it.

            lv.seed(1)
        """
    ) { (n: Int) in
      session.random = Philox(seed: UInt64(bitPattern: Int64(n)))
    }
    m.define(
      "rng_state",
      doc: """
        The state of the random number generator: a table of seed and counter.

            local state = lv.rng_state()

        @return { seed: integer, counter: integer }  for set_rng_state
        """
    ) { () -> [String: Int] in
      [
        "seed": Int(truncatingIfNeeded: session.random.seed),
        "counter": Int(truncatingIfNeeded: session.random.counter),
      ]
    }
    m.define(
      "set_rng_state", params: ["state"],
      doc: """
        Restores a state of rng_state(): the same numbers are drawn again.

            lv.set_rng_state(state)

        @param state { seed: integer, counter: integer }  what rng_state gave
        """
    ) { (state: [String: Int]) in
      guard let seed = state["seed"], let counter = state["counter"], state.count == 2 else {
        throw LunervError(.argument, "set_rng_state: expected seed and counter")
      }
      session.random = Philox(
        seed: UInt64(truncatingIfNeeded: seed), counter: UInt64(truncatingIfNeeded: counter))
    }
    m.define(
      "permutation", params: ["n"],
      doc: """
        The numbers 1 to n in random order.
        Unlike PyTorch (`randperm`), it is a table and counts from 1.

            for _, i in ipairs(lv.permutation(#clip)) do print(i) end

        @return integer[]  n is at most 2²⁴
        """
    ) { (n: Int) -> [Int] in
      guard n >= 0, n <= 1 << 24 else {
        throw LunervError(.argument, "permutation: expected 0 to 2²⁴, got \(n)")
      }
      return session.random.permutation(n).map { $0 + 1 }
    }
  }

  private static func recording(_ s: TensorSurface) {
    s.module.define(
      "is_grad_enabled",
      doc: """
        Whether operators record for backward: false inside `lv.no_grad`.

            lv.no_grad(function() print(lv.is_grad_enabled()) end)   -- false
        """
    ) { () -> Bool in Session.current.isRecording }
    s.module.define(
      "clip_grad_norm", params: ["parameters", "limit"],
      doc: """
        Scales gradients so that their joint L2 norm is at most limit.

            local norm = lv.clip_grad_norm(model:parameters(), 1)

        @param parameters lunerv.Tensor[]  tensors with a grad; the others are passed over
        @return number  the norm before
        """
    ) { (parameters: [Tensor], limit: Double) -> Double in
      try Optimiser.clipGradients(of: parameters, to: limit)
    }
  }
}
