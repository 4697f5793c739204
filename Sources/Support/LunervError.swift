/// The one error type of the project; in Lua an object with the same fields.
///
/// `message` is a single line: what was expected, and what was found. Callers that know more about
/// the position in the data add a line with ``adding(_:)`` and rethrow.
public struct LunervError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Kind: String, Sendable, CaseIterable {
    /// A wrong option, model name or command: exit code 2.
    case usage
    /// A wrong value, type or tensor shape passed to an operator.
    case argument
    /// Raised by a script, or by the interpreter while it runs one.
    case script
    /// A file that cannot be opened, read or written.
    case io
    /// A file that was read but has invalid content.
    case data
    /// A loss that became NaN or infinite.
    case numeric
    /// An allocation that failed, or a limit that was exceeded.
    case memory
    /// The user asked to stop: exit code 130.
    case interrupted
  }

  public var kind: Kind
  /// Invisible characters, which a file may contain, are escaped; very long text is cut.
  public var message: String { didSet { message = message.brief.harmless } }
  /// The position in the data: a tensor, an element, a file; innermost first.
  public var context: [String] { didSet { context = context.map(\.harmless) } }
  /// "file:line" of the user's script.
  public var place: String?
  /// The path of the module that computed: "Decoder.body[2].conv".
  public var module: String?
  /// The Lua stack, if the error was raised in a script.
  public var traceback: String?

  public init(_ kind: Kind, _ message: String, context: [String] = []) {
    self.kind = kind
    self.message = message.brief.harmless
    self.context = context.map(\.harmless)
  }

  /// The same error with one more line of context, outermost last.
  public func adding(_ line: String) -> LunervError {
    var error = self
    error.context.append(line)
    return error
  }

  /// Message and context.
  public var description: String {
    context.isEmpty ? message : message + " (" + context.joined(separator: "; ") + ")"
  }

  /// Everything except the traceback: "train.lua:3: Decoder.body[2]: message".
  public var text: String {
    [place, module, description].compactMap { $0 }.joined(separator: ": ")
  }

  /// The process exit code for an error that was not caught.
  public var exitCode: Int32 {
    switch kind {
    case .usage: 2
    case .interrupted: 130
    default: 1
    }
  }
}
