/// Why symbols could not be coded.
public enum CoderError: Error, Equatable, Sendable {
  /// The bytes end before the symbols do.
  case truncated
  /// Bytes remain, or the coder does not end in its initial state: these are not the bytes that the
  /// encoder wrote.
  case damaged
  /// A table has more symbols than the limit.
  case tooManySymbols
}

extension CoderError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .truncated: "the coded symbols end too early"
    case .damaged: "the coded symbols are damaged"
    case .tooManySymbols: "a frequency table holds at most \(FrequencyTable.largestCount) symbols"
    }
  }
}
