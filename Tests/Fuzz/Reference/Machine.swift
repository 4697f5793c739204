/// Runs a program in the reference interpreter and writes it in Lua at the same time, from the same
/// choices. Whether values are rounded does not change the choices.
struct Machine {
  /// A tensor of the program: writing in place gives it another value.
  final class Variable {
    var node: Node
    /// Writing to it is an error.
    let isTaken: Bool
    init(_ node: Node, isTaken: Bool = false) { (self.node, self.isTaken) = (node, isTaken) }
  }

  var math: Arithmetic
  var input: FuzzInput
  private let dtype: String
  var lines: [String] = []
  /// By their number in Lua, from 1 on; nil if the reference computes nothing.
  var variables: [Variable?] = [nil]
  /// Results that are too large; found in the first run, reused in the second.
  private(set) var retired: Set<Int>
  private let isFirst: Bool
  /// The largest magnitude in a backward pass.
  var gradientNoise = 0.0
  /// After a failed traversal the remaining graph is unknown.
  var areGradientsKnown = true

  init(_ input: FuzzInput, rounds: Bool, retired: Set<Int>? = nil) {
    math = Arithmetic(rounds: rounds)
    self.input = input
    dtype = self.input.choice(4) == 0 ? "f64" : "f32"
    self.retired = retired ?? []
    isFirst = retired == nil
  }

  var isDouble: Bool { dtype == "f64" }

  // MARK: - Steps

  /// A step whose value is the Lua code `text`; the reference's is `node`, nil if it must fail or
  /// is unknown.
  mutating func step(_ text: String, _ node: Node?, isTaken: Bool = false) {
    let number = variables.count
    if math.isRecording {
      lines.append("try(\(number), function() return \(text) end)")
    } else {
      lines.append("try(\(number), function() return n.no_grad(function() return \(text) end) end)")
    }
    // Tensors have at most 8 dimensions.
    let node = node.flatMap { $0.shape.count <= 8 ? $0 : nil }
    variables.append(node.map { Variable($0, isTaken: isTaken) })
    if isFirst, let node, node.noise > 1e3 || !node.values.allSatisfy(\.isFinite) {
      retired.insert(number)
    }
  }

  func name(_ number: Int) -> String { "v[\(number)]" }

  /// A variable to compute with, mostly a recent one.
  mutating func pick() -> (text: String, node: Node, variable: Variable)? {
    let usable = variables.indices.filter {
      !retired.contains($0) && (variables[$0]?.node.count ?? 0) <= 600 && variables[$0] != nil
    }
    guard !usable.isEmpty else { return nil }
    let choice = input.choice(usable.count)
    let number =
      input.choice(2) == 0 ? usable[max(0, usable.count - 1 - choice % 4)] : usable[choice]
    guard let variable = variables[number] else { return nil }
    return (name(number), variable.node, variable)
  }

  func text(_ x: Double) -> String { x == x.rounded() ? "\(Int(x))" : "\(x)" }

  mutating func dyadic() -> Double { Double(Int(input.byte()) - 128) / 32 }

  func list(_ numbers: [Int]) -> String {
    "{" + numbers.map(String.init).joined(separator: ", ") + "}"
  }

  mutating func leaf() {
    let shape = (0..<input.choice(5)).map { _ in input.pick([2, 3, 1, 4, 5, 8]) }
    guard Shapes.count(shape) <= 600 else { return }
    var seed = UInt64(input.byte()) + 1
    // Numbers need no bytes of the input.
    let values = (0..<Shapes.count(shape)).map { _ -> Double in
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(Int(seed >> 58) - 32) / 16
    }
    let needs = input.choice(2) == 0
    let numbers = values.map(text).joined(separator: ", ")
    let options = "{dtype = \"\(dtype)\"}"
    var made = "n.tensor({\(numbers)}, \(options))"
    if shape != [values.count] { made += ":view(\(list(shape))):clone()" }
    if shape.isEmpty { made = "n.full(\(numbers), \(options))" }
    if needs { made = "leaf(\(made))" }
    let node = Node(shape, values, needsGradient: needs, isExact: true)
    let wasRecording = math.isRecording
    math.isRecording = true
    step(made, node)
    math.isRecording = wasRecording
  }

  mutating func run() {
    for _ in 0..<2 + input.choice(3) { leaf() }
    var steps = 0
    while !input.isEmpty, steps < 40, variables.count < 60 {
      steps += 1
      switch input.choice(16) {
      case 0, 1, 2: element()
      case 3, 4: pair()
      case 5, 6, 7: move()
      case 8, 9: reduce()
      case 10, 11: product()
      case 12: write()
      case 13: backward()
      case 14:
        switch input.choice(4) {
        case 0: leaf()
        case 1: mistake()
        case 2: close()
        default: math.isRecording.toggle()
        }
      default: element()
      }
    }
    math.isRecording = true
    backward()
  }
}
