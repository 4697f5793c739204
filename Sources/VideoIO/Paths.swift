@preconcurrency import Glibc
import Support

/// The kind of file at a path, as far as reading and writing video needs it.
enum PathKind: Equatable {
  case absent
  case file(size: Int)
  case folder
  /// A pipe, socket or device.
  case other

  init(_ path: String) throws {
    guard !path.isEmpty else { throw LunervError(.argument, "the path is empty") }
    guard !path.utf8.contains(0) else {
      throw LunervError(.argument, "the path contains a zero byte")
    }
    var info = stat()
    guard stat(path, &info) == 0 else {
      let code = errno
      guard code == ENOENT else { throw systemError(path, code) }
      self = .absent
      return
    }
    switch info.st_mode & S_IFMT {
    case S_IFREG: self = .file(size: Int(info.st_size))
    case S_IFDIR: self = .folder
    default: self = .other
    }
  }
}

/// An `.io` error with the system's message: "PATH: No space left on device".
func systemError(_ what: String, _ code: Int32 = errno) -> LunervError {
  LunervError(.io, "\(what): \(String(cString: strerror(code)))")
}

/// The names in a folder, all of which must be UTF-8.
func names(in folder: String) throws -> [String] {
  let (names, unreadable) = try Files.listAll(folder)
  if let name = unreadable.first {
    throw LunervError(
      .io, "\(folder): the name '\(name)' in it is not UTF-8; rename that file")
  }
  return names
}

/// The text after the last dot of the last component, in lower case; "" if there is none.
func fileExtension(_ path: String) -> String {
  let name = Files.split(path).name
  guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return "" }
  return name[name.index(after: dot)...].lowercased()
}

/// Natural order of names: runs of digits compare as numbers, of any length.
func naturallyBefore(_ left: String, _ right: String) -> Bool {
  let a = Array(left.utf8)
  let b = Array(right.utf8)
  func isDigit(_ byte: UInt8) -> Bool { byte >= 48 && byte <= 57 }
  /// The digits from `start` on, without leading zeros, and where they end.
  func number(_ bytes: [UInt8], _ start: Int) -> (digits: ArraySlice<UInt8>, end: Int) {
    var end = start
    while end < bytes.count, isDigit(bytes[end]) { end += 1 }
    return (bytes[start..<end].drop { $0 == 48 }, end)
  }
  var i = 0
  var j = 0
  while i < a.count, j < b.count {
    if isDigit(a[i]), isDigit(b[j]) {
      let x = number(a, i)
      let y = number(b, j)
      if x.digits.count != y.digits.count { return x.digits.count < y.digits.count }
      if x.digits != y.digits { return x.digits.lexicographicallyPrecedes(y.digits) }
      i = x.end
      j = y.end
    } else {
      if a[i] != b[j] { return a[i] < b[j] }
      i += 1
      j += 1
    }
  }
  if i < a.count || j < b.count { return i >= a.count }
  // Equal as numbers ("01" and "1"): any fixed order is fine.
  return a.lexicographicallyPrecedes(b)
}
