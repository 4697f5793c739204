import Glibc
import Kernels

/// Where time, arithmetic and memory go: by the module that asked for an operator, by the operator,
/// and by the direction, forward or backward.
///
/// Operators are evaluated when somebody reads them, so a value and an entry of the tape remember
/// who asked (``Origin``), and what is spent on them later is charged there. Regions nest, and each
/// is charged for what none inside it takes: the sum of all records is the time since the start.
///
/// A session that measures has one; otherwise ``Session/profiler`` is nil, and an operator pays for
/// the look.
public final class Profiler {
  /// What one operator cost, asked for at one place, in one direction.
  public struct Record {
    public let path: Int
    public let operation: Int
    public let isBackward: Bool
    public fileprivate(set) var nanoseconds = 0
    /// How often it was asked for.
    public fileprivate(set) var calls = 0
    /// 2 for a multiplication with its addition in a convolution or a product of matrices, else 1
    /// for an operator on an element.
    public fileprivate(set) var flops = 0.0
    /// Chains of pointwise operators that were evaluated, and how many operators they held.
    public fileprivate(set) var chains = 0
    public fileprivate(set) var links = 0
  }

  /// What a region counts of the arithmetic inside it.
  enum Counting {
    /// An element of a result is one operation.
    case results
    /// The programs that run in it count their operators themselves.
    case programs
    /// It was counted when it began.
    case nothing
  }

  private struct Region {
    var record: Int
    var counting: Counting
  }

  private static let luaCode = -1
  nonisolated(unsafe) private static var profiles: Int32 = 0

  public private(set) var records: [Record] = []
  /// Paths of modules, by their number; the first is that of code outside every module.
  public private(set) var paths = [""]
  /// Names of operators, by their number; the first is that of Lua's own code.
  public private(set) var operations = ["Lua"]
  /// Memory by the same numbers as ``paths``.
  public let memory = MemoryByOwner()
  /// Where Lua is, as ``site(of:)`` gave it.
  private let siteOfLua: () -> Int

  private let serial: Int32
  private var recordNumbers: [UInt64: Int] = [:]
  private var pathNumbers = ["": 0]
  private var operationNumbers = ["Lua": 0]
  private var regions = [Region(record: Profiler.luaCode, counting: .results)]
  private let start: Int
  private var last: Int

  /// - Parameter siteOfLua: the module that the running Lua code is in, as ``site(of:)`` gave it; any
  ///   other number stands for none.
  public init(siteOfLua: @escaping () -> Int = { 0 }) {
    Profiler.profiles &+= 1
    serial = Profiler.profiles
    self.siteOfLua = siteOfLua
    start = Profiler.now()
    last = start
  }

  // MARK: - Names

  /// A number for a module's path that no other profile knows: a coroutine may keep it for longer.
  public func site(of path: String) -> Int {
    Int(serial) << 32 | Profiler.number(path, &paths, &pathNumbers)
  }

  /// The number of the path of the module that Lua is in.
  private var pathOfLua: Int {
    let site = siteOfLua()
    let path = site & 0xffff_ffff
    return site >> 32 == Int(serial) && paths.indices.contains(path) ? path : 0
  }

  /// The number of an operator.
  public func operation(named name: String) -> Int {
    Profiler.number(name, &operations, &operationNumbers)
  }

  private static func number(_ name: String, _ names: inout [String], _ known: inout [String: Int])
    -> Int
  {
    if let number = known[name] { return number }
    known[name] = names.count
    names.append(name)
    return names.count - 1
  }

  private func record(_ path: Int, _ operation: Int, backward: Bool) -> Int {
    let key = UInt64(path) << 32 | UInt64(operation) << 1 | (backward ? 1 : 0)
    if let number = recordNumbers[key] { return number }
    recordNumbers[key] = records.count
    records.append(Record(path: path, operation: operation, isBackward: backward))
    return records.count - 1
  }

  // MARK: - Time

  private static func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
  }

  /// The record that is charged now.
  private var current: Int {
    let top = regions[regions.count - 1].record
    return top == Profiler.luaCode ? record(pathOfLua, 0, backward: isBackward) : top
  }

  /// What a callback in the middle of a backward pass does and asks for is part of that.
  private var isBackward: Bool {
    regions.contains { $0.record >= 0 && records[$0.record].isBackward }
  }

  /// Charges what has passed since this was last called.
  private func charge() {
    let time = Profiler.now()
    records[current].nanoseconds += time - last
    last = time
  }

  private func begin(_ record: Int, _ counting: Counting) {
    charge()
    regions.append(Region(record: record, counting: counting))
  }

  /// Ends the region that began last.
  public func end() {
    charge()
    if regions.count > 1 { regions.removeLast() }
  }

  /// Nanoseconds since the start, all of them charged.
  public func settle() -> Int {
    charge()
    return last - start
  }

  /// Begins the call of an operator from Lua.
  public func beginCall(_ operation: Int) {
    charge()
    let record = record(pathOfLua, operation, backward: isBackward)
    records[record].calls += 1
    regions.append(Region(record: record, counting: .results))
  }

  /// Begins Lua code that Swift calls, or Lua's part of a native function.
  public func beginLua() { begin(Profiler.luaCode, .results) }

  // MARK: - Who asked

  /// Who asked for a value: a record of the profile with this number.
  struct Origin {
    fileprivate var record: Int32 = -1
    fileprivate var profile: Int32 = 0
  }

  /// What is made now was asked for by the operator that is being called.
  var origin: Origin { Origin(record: Int32(truncatingIfNeeded: current), profile: serial) }

  /// The same place, and this operator.
  func origin(_ name: String) -> Origin {
    let here = records[current]
    let number = record(here.path, operation(named: name), backward: here.isBackward)
    return Origin(record: Int32(truncatingIfNeeded: number), profile: serial)
  }

  /// The record that an origin stands for; values older than the profile belong to their reader.
  private func number(of origin: Origin) -> Int {
    let number = Int(origin.record)
    return origin.profile == serial && records.indices.contains(number) ? number : current
  }

  /// Begins the evaluation of what `origin` asked for.
  func begin(_ origin: Origin, _ counting: Counting) { begin(number(of: origin), counting) }

  /// Begins a part of the evaluation that has a name of its own, or goes backward.
  func begin(
    _ origin: Origin, as name: String? = nil, backward: Bool, counting: Counting, flops: Double = 0
  ) {
    let asked = records[number(of: origin)]
    let number = record(
      asked.path, name.map { operation(named: $0) } ?? asked.operation,
      backward: backward || asked.isBackward)
    // The operator itself counted when Lua called it.
    if name != nil { records[number].calls += 1 }
    records[number].flops += flops
    begin(number, counting)
  }

  // MARK: - Arithmetic

  /// Begins work whose arithmetic is known, charged to the operator that is being called.
  func begin(flops: Double) {
    let record = current
    records[record].flops += flops
    begin(record, .nothing)
  }

  /// An operator has made so many elements.
  func made(_ elements: Int) {
    guard case .results = regions[regions.count - 1].counting else { return }
    records[current].flops += Double(elements)
  }

  /// A program of so many operators runs over so many elements.
  func runs(_ operators: Int, over elements: Int) {
    let counting = regions[regions.count - 1].counting
    if case .nothing = counting { return }
    let record = current
    records[record].flops += Double(operators) * Double(elements)
    guard case .programs = counting, operators > 0 else { return }
    records[record].chains += 1
    records[record].links += operators
  }

  // MARK: - Memory

  /// Who holds what is allocated now.
  var owner: Int { records[current].path }
}

/// Bytes of living results by the module that they were made in. Guarded by the arena's mutex.
public final class MemoryByOwner {
  private var live: [Int] = []
  /// The most bytes that each held at one time.
  public private(set) var mostHeld: [Int] = []
  /// The most bytes of all tensors, those that are older included, and who took the last of them.
  public private(set) var peak = 0
  public private(set) var ownerAtPeak = 0

  func take(_ bytes: Int, _ owner: Int, all: Int) {
    while live.count <= owner {
      live.append(0)
      mostHeld.append(0)
    }
    live[owner] += bytes
    mostHeld[owner] = max(mostHeld[owner], live[owner])
    if all > peak { (peak, ownerAtPeak) = (all, owner) }
  }

  func give(_ bytes: Int, _ owner: Int) { live[owner] -= bytes }
}

extension ConvolutionShape {
  /// 2 for each multiplication with its addition, those with zeros of the padding included.
  var flops: Double {
    2 * Double(n) * Double(outputs) * Double(outHeight) * Double(outWidth)
      * Double(inputs / max(groups, 1)) * Double(kh) * Double(kw)
  }
}
