/// How a reduction combines values.
public enum ReductionOperator: Sendable { case sum, maximum, minimum }

/// Reduces a program's physical index space, seen as [outer][length][inner], over `length` to
/// `out[outer][inner]`. Only the first `valid` of `length` values are included (padding lanes are
/// not channels). How work is split depends on the shape alone; long sums are accumulated in f64.
@_specialize(where T == Float)
@_specialize(where T == Double)
public func reduce<T: PointwiseScalar>(
  _ program: PointwiseProgramOf<T>, _ op: ReductionOperator, outer: Int, length: Int, inner: Int,
  valid: Int, into out: UnsafeMutablePointer<T>
) {
  let first: T = op == .sum ? 0 : op == .maximum ? -.infinity : .infinity
  if length == 0 {
    out.update(repeating: first, count: outer * inner)
    return
  }
  if outer >= 32 {
    let block = max(1, 32768 / max(1, length * inner))
    ThreadPool.shared.run((outer + block - 1) / block) { i in
      let (from, to) = (i * block, min(outer, (i + 1) * block))
      reduceRange(
        program, op, start: from * length * inner, count: (to - from) * length * inner,
        length: length, inner: inner, valid: valid, first: first, into: out + from * inner)
    }
    return
  }
  // Few results, long sums: split the length. A part begins on a whole pixel, as required by
  // programs that zero padding lanes.
  let cells = outer * inner
  // The partial results are at most 16 million numbers, or one for each result.
  let most = max(1, (1 << 24) / max(1, cells))
  let least = max((length + most - 1) / most, inner == 1 ? 32768 : max(1, 32768 / max(1, inner)))
  let rows = inner == 1 ? roundUp(least, program.lanes) : least
  let parts = (length + rows - 1) / rows
  withScratch { scratch in
    let partial = scratch.take(parts * cells, of: T.self)
    ThreadPool.shared.run(parts * outer) { i in
      let (o, part) = (i / parts, i % parts)
      let from = part * rows, to = min(length, from + rows)
      reduceRange(
        program, op, start: (o * length + from) * inner, count: (to - from) * inner,
        length: to - from, inner: inner, valid: max(0, min(valid - from, to - from)), first: first,
        into: partial + (part * outer + o) * inner)
    }
    for cell in 0..<cells {
      switch op {
      case .sum:
        var total = 0.0
        for part in 0..<parts { total += Double(partial[part * cells + cell]) }
        out[cell] = T(total)
      case .maximum, .minimum:
        var best = first
        for part in 0..<parts {
          let v = partial[part * cells + cell]
          // NaN wins over everything.
          if v != v || (op == .maximum ? v > best : v < best) { best = v }
        }
        out[cell] = best
      }
    }
  }
}

private func reduceRange<T: PointwiseScalar>(
  _ program: PointwiseProgramOf<T>, _ op: ReductionOperator, start: Int, count: Int, length: Int,
  inner: Int, valid: Int, first: T, into out: UnsafeMutablePointer<T>
) {
  guard count > 0 else { return }
  let results = count / (length * inner) * inner
  for i in 0..<results { out[i] = first }
  if inner == 1 {
    var sum = 0.0
    program.forEachPiece(start: start, count: count) { offset, n, values in
      var j = 0
      while j < n {
        let at = offset + j
        let (row, within) = (at / length, at % length)
        let run = min(length - within, n - j)
        let use = max(0, min(valid - within, run))
        if op == .sum {
          if within == 0 { sum = 0 }
          sum += runSum(values + j, use)
          out[row] = T(sum)
        } else {
          for k in 0..<use {
            let v = values[j + k]
            if v != v || (op == .maximum ? v > out[row] : v < out[row]) { out[row] = v }
          }
        }
        j += run
      }
    }
    return
  }
  if length == 1, valid == 1 {
    program.evaluate(start: start, count: count, into: out)
    return
  }
  if op == .sum {
    sumRows(
      program, start: start, count: count, length: length, inner: inner, valid: valid, into: out)
    return
  }
  program.forEachPiece(start: start, count: count) { offset, n, values in
    var j = 0
    while j < n {
      let at = offset + j
      let column = at % inner
      let (row, within) = (at / inner / length, at / inner % length)
      let run = min(inner - column, n - j)
      if within < valid {
        let target = out + row * inner + column
        let source = values + j
        switch op {
        case .sum: break
        // NaN is taken, and stays.
        case .maximum:
          for k in 0..<run where !(source[k] <= target[k]) && target[k] == target[k] {
            target[k] = source[k]
          }
        case .minimum:
          for k in 0..<run where !(source[k] >= target[k]) && target[k] == target[k] {
            target[k] = source[k]
          }
        }
      }
      j += run
    }
  }
}

/// Rows that are summed in the element type before the sum is carried over to f64. For equal
/// elements the error is about 5e-7 of the sum.
private let longestRun = 64

/// The sums of ``reduceRange``, for rows of `inner` elements each.
private func sumRows<T: PointwiseScalar>(
  _ program: PointwiseProgramOf<T>, start: Int, count: Int, length: Int, inner: Int, valid: Int,
  into out: UnsafeMutablePointer<T>
) {
  withScratch { scratch in
    let part = scratch.take(inner, of: T.self), total = scratch.take(inner, of: Double.self)
    part.update(repeating: 0, count: inner)
    total.update(repeating: 0, count: inner)
    var held = 0
    func carry() {
      for k in 0..<inner { total[k] += Double(part[k]) }
      part.update(repeating: 0, count: inner)
      held = 0
    }
    program.forEachPiece(start: start, count: count) { offset, n, values in
      var j = 0
      while j < n {
        let at = offset + j
        let column = at % inner
        let within = at / inner % length
        var taken = min(inner - column, n - j)
        if within < valid {
          // Whole rows of channels, as many as the piece holds for this result.
          let rows =
            column == 0 && inner % 8 == 0
            ? min((n - j) / inner, valid - within, longestRun - held) : 0
          if rows > 1 {
            T.addRows(values + j, rows: rows, lanes: inner, to: part)
            taken = rows * inner
            held += rows
          } else {
            for k in 0..<taken { part[column + k] += values[j + k] }
            if column + taken == inner { held += 1 }
          }
          if held >= longestRun { carry() }
        }
        j += taken
        let done = offset + j
        if done % (inner * length) == 0 {
          carry()
          let target = out + (done / (inner * length) - 1) * inner
          for k in 0..<inner { target[k] = T(total[k]) }
          total.update(repeating: 0, count: inner)
        }
      }
    }
  }
}

/// The sum of a run, in pieces that are accumulated in f64.
private func runSum<T: PointwiseScalar>(_ p: UnsafePointer<T>, _ n: Int) -> Double {
  var total = 0.0
  var i = 0
  while i < n {
    let count = min(8 * longestRun, n - i)
    total += shortSum(p + i, count)
    i += count
  }
  return total
}

/// Eight partial sums, whatever the type: the order never depends on the number of threads.
@inline(__always) private func shortSum<T: PointwiseScalar>(_ p: UnsafePointer<T>, _ n: Int)
  -> Double
{
  var s: (T, T, T, T, T, T, T, T) = (0, 0, 0, 0, 0, 0, 0, 0)
  var i = 0
  while i + 8 <= n {
    s.0 += p[i]
    s.1 += p[i + 1]
    s.2 += p[i + 2]
    s.3 += p[i + 3]
    s.4 += p[i + 4]
    s.5 += p[i + 5]
    s.6 += p[i + 6]
    s.7 += p[i + 7]
    i += 8
  }
  while i < n {
    s.0 += p[i]
    i += 1
  }
  return (Double(s.0) + Double(s.1)) + (Double(s.2) + Double(s.3))
    + ((Double(s.4) + Double(s.5)) + (Double(s.6) + Double(s.7)))
}
