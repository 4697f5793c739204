import Glibc
import Kernels

/// Measures time, arithmetic and memory: by the module that called an operator, by operator, and by
/// direction, forward or backward.
///
/// Operators are evaluated when they are read, so a value and an entry of the tape store their
/// caller (``Origin``), and later costs are charged to it. Regions nest, and each is charged for
/// the time not spent in a region inside it: the sum of all records is the time since the start.
///
/// A session has a profiler while it measures; otherwise ``Session/profiler`` is nil, and an
/// operator only tests for nil.
public final class Profiler {
  /// The cost of one operator, called at one place, in one direction.
  public struct Record {
    public let path: Int
    public let operation: Int
    public let isBackward: Bool
    public fileprivate(set) var nanoseconds = 0
    /// How often it was called.
    public fileprivate(set) var calls = 0
    /// 2 for a multiply-add of a convolution or a matrix product, else 1 for an operator on an
    /// element.
    public fileprivate(set) var flops = 0.0
    /// Chains of evaluated pointwise operators, and the number of operators in them.
    public fileprivate(set) var chains = 0
    public fileprivate(set) var links = 0
  }

  /// How a region counts the arithmetic inside it.
  enum Counting {
    /// One operation per element of the result.
    case results
    /// The programs in it count their own operators.
    case programs
    /// Counted when it began.
    case nothing
  }

  private struct Region {
    var record: Int
    var counting: Counting
  }

  private static let luaCode = -1
  nonisolated(unsafe) private static var profiles: Int32 = 0

  public private(set) var records: [Record] = []
  /// Paths of modules, by number; the first is that of code outside every module.
  public private(set) var paths = [""]
  /// Names of operators, by number; the first is that of Lua's own code.
  public private(set) var operations = ["Lua"]
  /// Memory, by the same numbers as ``paths``.
  public let memory = MemoryByOwner()
  /// The module in which Lua runs, from ``site(of:)``.
  private let siteOfLua: () -> Int

  private let serial: Int32
  private var recordNumbers: [UInt64: Int] = [:]
  private var pathNumbers = ["": 0]
  private var operationNumbers = ["Lua": 0]
  private var regions = [Region(record: Profiler.luaCode, counting: .results)]
  private let start: Int
  private var last: Int

  /// - Parameter siteOfLua: the module in which Lua runs, from ``site(of:)``; any other number
  ///   means none.
  public init(siteOfLua: @escaping () -> Int = { 0 }) {
    Profiler.profiles &+= 1
    serial = Profiler.profiles
    self.siteOfLua = siteOfLua
    start = Profiler.now()
    last = start
  }

  // MARK: - Names

  /// A number for a module's path, unique among all profiles: a coroutine may store it for longer.
  public func site(of path: String) -> Int {
    Int(serial) << 32 | Profiler.number(path, &paths, &pathNumbers)
  }

  /// The number of the path of Lua's module.
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

  /// The record that time is charged to.
  private var current: Int {
    let top = regions[regions.count - 1].record
    return top == Profiler.luaCode ? record(pathOfLua, 0, backward: isBackward) : top
  }

  /// Callbacks within a backward pass are part of it.
  private var isBackward: Bool {
    regions.contains { $0.record >= 0 && records[$0.record].isBackward }
  }

  /// Charges the time since the last call.
  private func charge() {
    let time = Profiler.now()
    records[current].nanoseconds += time - last
    last = time
  }

  private func begin(_ record: Int, _ counting: Counting) {
    charge()
    regions.append(Region(record: record, counting: counting))
  }

  /// Ends the innermost region.
  public func end() {
    charge()
    if regions.count > 1 { regions.removeLast() }
  }

  /// Nanoseconds since the start, all charged.
  public func elapsed() -> Int {
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

  // MARK: - Callers

  /// The caller of a value's operator: a record of the profile with this number.
  struct Origin {
    fileprivate var record: Int32 = -1
    fileprivate var profile: Int32 = 0
  }

  /// The origin of values made now: the operator that is being called.
  var origin: Origin { Origin(record: Int32(truncatingIfNeeded: current), profile: serial) }

  /// The same place, with this operator.
  func origin(_ name: String) -> Origin {
    let here = records[current]
    let number = record(here.path, operation(named: name), backward: here.isBackward)
    return Origin(record: Int32(truncatingIfNeeded: number), profile: serial)
  }

  /// The record of an origin; values older than the profile are charged to their reader.
  private func number(of origin: Origin) -> Int {
    let number = Int(origin.record)
    return origin.profile == serial && records.indices.contains(number) ? number : current
  }

  /// Begins the evaluation of a value of this origin.
  func begin(_ origin: Origin, _ counting: Counting) { begin(number(of: origin), counting) }

  /// Begins a named part of the evaluation, or a backward one.
  func begin(
    _ origin: Origin, as name: String? = nil, backward: Bool, counting: Counting, flops: Double = 0
  ) {
    let caller = records[number(of: origin)]
    let number = record(
      caller.path, name.map { operation(named: $0) } ?? caller.operation,
      backward: backward || caller.isBackward)
    // The operator itself was counted when Lua called it.
    if name != nil { records[number].calls += 1 }
    records[number].flops += flops
    begin(number, counting)
  }

  // MARK: - Arithmetic

  /// Begins work of known arithmetic, charged to the current operator.
  func begin(flops: Double) {
    let record = current
    records[record].flops += flops
    begin(record, .nothing)
  }

  /// Counts the elements that an operator has computed.
  func made(_ elements: Int) {
    guard case .results = regions[regions.count - 1].counting else { return }
    records[current].flops += Double(elements)
  }

  /// Counts a program's operators over its elements.
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

  /// The owner that allocations are charged to now.
  var owner: Int { records[current].path }
}

/// Bytes of living results by the module that made them. The arena's mutex protects them.
public final class MemoryByOwner {
  private var live: [Int] = []
  /// The peak bytes of each.
  public private(set) var mostHeld: [Int] = []
  /// The peak bytes of all tensors, including older ones, and the owner of the last allocation.
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
  /// 2 for each multiply-add, including those with zeros of the padding.
  var flops: Double {
    2 * Double(n) * Double(outputs) * Double(outHeight) * Double(outWidth)
      * Double(inputs / max(groups, 1)) * Double(kh) * Double(kw)
  }
}
