import Support

/// The work that a program from a file may still do (``Session/workLeft``). Operators charge for
/// elements, and for multiplications and additions, before they run.
public enum Work {
  /// The cost of any operator, however small: about two microseconds.
  public static let call = 1000

  /// - Throws: an error of kind `memory` if less remains, and for every later charge.
  public static func charge(_ units: Int) throws {
    let session = Session.current
    if session.workLeft == .max { return }
    guard units <= session.workLeft else {
      session.workLeft = -1
      throw LunervError(.memory, "the program needs more work than is allowed (max_work)")
    }
    session.workLeft -= units
  }

  /// Runs `body`, which decodes symbols with models. Both are charged first, and their memory is
  /// counted meanwhile: 16 bytes per symbol, in arrays.
  public static func decoding<R>(symbols: Int, models: Int = 1, _ body: () throws -> R) throws -> R
  {
    let (bytes, overflows) = symbols.multipliedReportingOverflow(by: 16)
    let (more, exceeds) = models.multipliedReportingOverflow(by: 1 << 14)
    guard !overflows, !exceeds, bytes < 1 << 60, more < 1 << 60 else {
      throw LunervError(.memory, "not enough memory for \(symbols) symbols")
    }
    // A symbol takes some 20 ns, a model's table some microseconds.
    try charge(2 * bytes + more)
    return try Session.current.reserving(bytes, body)
  }

  /// One symbol that Lua decodes.
  public static func decodingSymbol() throws { try charge(call) }

  /// A call and a product, however large.
  public static func charge(_ a: Int, _ b: Int, _ c: Int = 1, _ d: Int = 1) throws {
    if Session.current.workLeft == .max { return }
    var product = max(a, 1)
    for factor in [b, c, d] {
      let (next, overflows) = product.multipliedReportingOverflow(by: max(factor, 1))
      product = overflows ? .max : next
    }
    try charge(min(product, .max - 1 - call) + call)
  }
}
