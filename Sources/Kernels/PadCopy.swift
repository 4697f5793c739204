/// Padding of any dimensions, and its adjoint.
///
/// A tensor is seen as dimensions, outermost first, with blocks of `unit` elements inside the last
/// one; dimensions after the last padded one belong to the unit.
public struct PadCopy {
  public struct Axis {
    public var inputs: Int
    /// Elements added before the first and after the last; negative numbers crop.
    public var before: Int, after: Int
    public var outputs: Int { inputs + before + after }

    public init(inputs: Int, before: Int, after: Int) {
      (self.inputs, self.before, self.after) = (inputs, before, after)
    }
  }
  public enum Mode: Sendable { case constant, edge, reflect, circular }

  public var axes: [Axis]
  public var unit: Int
  public var mode: Mode

  public init(axes: [Axis], unit: Int, mode: Mode) {
    (self.axes, self.unit, self.mode) = (axes, unit, mode)
  }

  /// The input of an output; −1 if there is none.
  @inline(__always) private func source(_ axis: Axis, _ output: Int) -> Int {
    let i = output - axis.before
    let n = axis.inputs
    if i >= 0, i < n { return i }
    switch mode {
    case .constant: return -1
    case .edge: return min(max(i, 0), n - 1)
    case .reflect: return i < 0 ? -i : 2 * (n - 1) - i
    case .circular: return i < 0 ? i + n : i - n
    }
  }

  /// The outputs that are copies of an input, in order.
  private func outputs(_ axis: Axis, of i: Int) -> [Int] {
    let (n, middle) = (axis.inputs, i + axis.before)
    var list: [Int] = []
    func add(_ o: Int) {
      if o >= 0, o < axis.outputs { list.append(o) }
    }
    switch mode {
    case .constant: add(middle)
    case .edge:
      if i == 0, axis.before > 0 { list.append(contentsOf: 0..<min(axis.before, axis.outputs)) }
      add(middle)
      if i == n - 1, axis.after > 0 {
        list.append(contentsOf: max(0, axis.outputs - axis.after)..<axis.outputs)
      }
    case .reflect:
      if i >= 1 { add(axis.before - i) }
      add(middle)
      if i < n - 1, i >= n - 1 - axis.after { add(axis.before + 2 * (n - 1) - i) }
    case .circular:
      add(middle - n)
      add(middle)
      if i < axis.after { add(middle + n) }
    }
    return list
  }

  private var outerInputs: Int { axes.dropLast().reduce(1) { $0 * $1.inputs } }
  private var outerOutputs: Int { axes.dropLast().reduce(1) { $0 * $1.outputs } }

  /// Copies x into its place in a padded result.
  ///
  /// - Parameter fill: one unit of the values where there is no input; `fillLength` elements that
  ///   repeat.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  @_specialize(where T == Int32)
  @_specialize(where T == UInt8)
  public func forward<T>(
    _ x: UnsafePointer<T>, fill: UnsafePointer<T>, fillLength: Int, _ out: UnsafeMutablePointer<T>
  ) {
    guard let last = axes.last else { return }
    let outer = Array(axes.dropLast())
    // The part that the last axis copies unchanged.
    let (from, to) = (max(0, -last.before), min(last.inputs, last.inputs + last.after))
    let start = from + last.before
    let whole = max(0, to - from)
    let row = last.outputs * unit
    let rowsInPiece = max(1, 16384 / max(1, row))
    let rows = outerOutputs
    ThreadPool.shared.run((rows + rowsInPiece - 1) / rowsInPiece) { piece in
      for r in (piece * rowsInPiece)..<min(rows, (piece + 1) * rowsInPiece) {
        var (rest, place, size) = (r, 0, 1)
        var index = outer.count - 1
        while index >= 0 {
          let axis = outer[index]
          let i = source(axis, rest % axis.outputs)
          rest /= axis.outputs
          if i < 0 {
            place = -1
            break
          }
          place += i * size
          size *= axis.inputs
          index -= 1
        }
        let target = out + r * row
        func filled(_ first: Int, _ count: Int) {
          let p = target + first * unit
          if fillLength == 1 {
            p.update(repeating: fill[0], count: count * unit)
          } else {
            var i = 0
            while i < count * unit {
              (p + i).update(from: fill, count: fillLength)
              i += fillLength
            }
          }
        }
        if place < 0 {
          filled(0, last.outputs)
          continue
        }
        let source = x + place * last.inputs * unit
        (target + start * unit).update(from: source + from * unit, count: whole * unit)
        for o in [0..<min(start, last.outputs), min(start + whole, last.outputs)..<last.outputs] {
          if mode == .constant {
            filled(o.lowerBound, o.count)
          } else {
            for i in o {
              (target + i * unit).update(
                from: source + self.source(last, i) * unit, count: unit)
            }
          }
        }
      }
    }
  }

  /// The gradient of x: each element sums the gradients of its copies, in the order of the outputs.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public func adjoint<T: PointwiseScalar>(_ g: UnsafePointer<T>, _ dx: UnsafeMutablePointer<T>) {
    guard let last = axes.last else { return }
    let outer = Array(axes.dropLast())
    let (from, to) = (max(0, -last.before), min(last.inputs, last.inputs + last.after))
    let whole = max(0, to - from)
    let start = from + last.before
    let row = last.inputs * unit
    let rows = outerInputs
    let rowsInPiece = max(1, 16384 / max(1, row))
    ThreadPool.shared.run((rows + rowsInPiece - 1) / rowsInPiece) { piece in
      for r in (piece * rowsInPiece)..<min(rows, (piece + 1) * rowsInPiece) {
        let target = dx + r * row
        target.update(repeating: 0, count: row)
        // Rows of g, by the place along each axis.
        var lists: [[Int]] = []
        var rest = r
        for index in outer.indices.reversed() {
          lists.insert(outputs(outer[index], of: rest % outer[index].inputs), at: 0)
          rest /= outer[index].inputs
        }
        if lists.contains(where: \.isEmpty) { continue }
        var turn = [Int](repeating: 0, count: lists.count)
        while true {
          var place = 0
          for d in lists.indices { place = place * outer[d].outputs + lists[d][turn[d]] }
          let seed = g + place * last.outputs * unit
          let (p, q) = (target + from * unit, seed + start * unit)
          for i in 0..<(whole * unit) { p[i] += q[i] }
          if mode != .constant {
            for o in [
              0..<min(start, last.outputs), min(start + whole, last.outputs)..<last.outputs,
            ] {
              for i in o {
                let (p, q) = (target + source(last, i) * unit, seed + i * unit)
                for c in 0..<unit { p[c] += q[c] }
              }
            }
          }
          var d = lists.count - 1
          while d >= 0 {
            turn[d] += 1
            if turn[d] < lists[d].count { break }
            turn[d] = 0
            d -= 1
          }
          if d < 0 { break }
        }
      }
    }
  }
}
