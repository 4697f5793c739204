extension String {
  /// The text as one harmless line for messages: control, formatting and other invisible
  /// characters escaped (`\u{1B}`), and everything past 200 characters cut off. For names
  /// that come out of files, which could otherwise steer a terminal.
  public var printable: String {
    var out = ""
    for (count, scalar) in unicodeScalars.enumerated() {
      if count == 200 { return out + "…" }
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
        .unassigned:
        out += "\\u{" + String(scalar.value, radix: 16, uppercase: true) + "}"
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }
}
