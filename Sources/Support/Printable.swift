extension Unicode.Scalar {
  /// Control, formatting and other invisible characters, which could control a terminal.
  fileprivate var isInvisible: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
      .unassigned:
      true
    default: false
    }
  }

  /// `\u{1B}` and similar.
  fileprivate var escaped: String { "\\u{" + String(value, radix: 16, uppercase: true) + "}" }
}

extension String {
  /// The text as one harmless line for messages: control, formatting and other invisible characters
  /// are escaped (`\u{1B}`), and it is cut after 200 characters. For names from files, which could
  /// otherwise control a terminal.
  public var printable: String {
    var out = ""
    for (count, scalar) in unicodeScalars.enumerated() {
      if count == 200 { return out + "…" }
      if scalar.isInvisible {
        out += scalar.escaped
      } else {
        out.unicodeScalars.append(scalar)
      }
    }
    return out
  }

  /// The text with invisible characters escaped, except line ends and tabs. Messages pass through
  /// this on output, since they may contain text from files.
  public var harmless: String {
    func isKept(_ scalar: Unicode.Scalar) -> Bool {
      scalar == "\n" || scalar == "\t" || !scalar.isInvisible
    }
    if unicodeScalars.allSatisfy(isKept) { return self }
    var out = ""
    for scalar in unicodeScalars {
      if isKept(scalar) {
        out.unicodeScalars.append(scalar)
      } else {
        out += scalar.escaped
      }
    }
    return out
  }

  /// The text, or its first 16 KB: a script's names may be of any size, and everything that
  /// forwards a message reads all of it.
  public var brief: String {
    utf8.count <= 1 << 14 ? self : String(decoding: utf8.prefix(1 << 14), as: UTF8.self) + "…"
  }
}

/// Invalid UTF-8, as in a file's name, in a form for messages: `caf\xE9.png`.
public func printable(bytes: some Sequence<UInt8>) -> String {
  var out = ""
  var rest = Array(bytes)[...]
  while let first = rest.first {
    let length = (1...min(4, rest.count)).first {
      String(validating: rest.prefix($0), as: UTF8.self) != nil
    }
    if let length {
      out += String(decoding: rest.prefix(length), as: UTF8.self)
      rest = rest.dropFirst(length)
    } else {
      out += "\\x" + (first < 16 ? "0" : "") + String(first, radix: 16, uppercase: true)
      rest = rest.dropFirst()
    }
  }
  return out.printable
}

extension Double {
  /// The number for messages. The sign of NaN means nothing.
  public var printable: String { isNaN ? "nan" : "\(self)" }
}
