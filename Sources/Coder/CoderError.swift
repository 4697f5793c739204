/// Why symbols could not be coded.
public enum CoderError: Error, Equatable, Sendable {
  /// The bytes end before the symbols do.
  case truncated
  /// Bytes remain, or the coder does not end in the state in which it began: these are not
  /// the bytes that the encoder wrote.
  case damaged
  /// A table of more symbols than there may be.
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
