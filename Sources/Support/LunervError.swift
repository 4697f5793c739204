/// The one error type of the project.
///
/// `message` is a single line that says what was expected and what came. `context` holds
/// where it happened, innermost first: a module path, a file section, a line of the user's
/// script. Whoever knows more adds a line with ``adding(_:)`` and throws on.
public struct LunervError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Kind: String, Sendable {
    /// A wrong option, model name or command: exit code 2.
    case usage
    /// A wrong value, type or tensor shape handed to an operator.
    case argument
    /// A file that cannot be opened, read or written.
    case io
    /// A file that was read but is not what it claims to be.
    case data
    /// A number that is no number: a loss that became NaN or infinite.
    case numeric
    /// An allocation or a limit that would be exceeded.
    case memory
    /// The user asked to stop: exit code 130.
    case interrupted
  }

  public var kind: Kind
  /// Invisible characters, as a file may hold them, are escaped.
  public var message: String { didSet { message = message.harmless } }
  public var context: [String] { didSet { context = context.map(\.harmless) } }

  public init(_ kind: Kind, _ message: String, context: [String] = []) {
    self.kind = kind
    self.message = message.harmless
    self.context = context.map(\.harmless)
  }

  /// The same error with one more line of context, outermost last.
  public func adding(_ line: String) -> LunervError {
    LunervError(kind, message, context: context + [line])
  }

  public var description: String {
    context.isEmpty ? message : message + " (" + context.joined(separator: "; ") + ")"
  }

  /// The process exit code for an error that nobody handled.
  public var exitCode: Int32 {
    switch kind {
    case .usage: 2
    case .interrupted: 130
    default: 1
    }
  }
}
