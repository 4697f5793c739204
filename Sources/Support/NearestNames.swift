// Suggestions for an unknown name: the known names within a typing error.

/// The names nearest to a word: at most three, nearest first.
///
/// A name is near if the Damerau–Levenshtein distance (letters replaced, missing, added, or swapped
/// with the next, each at most once) is at most a third of the longer one's length, and at least 1;
/// or if it begins with the word. Case, `_` and `-` are ignored.
public func nearestNames(to word: String, among names: some Sequence<String>) -> [String] {
  // A long word is not a typing error, and the distance takes the product of both lengths.
  guard word.utf8.count <= 64 else { return [] }
  let letters = plain(word)
  var near: [(name: String, distance: Int)] = []
  for name in Set(names) {
    let other = plain(name)
    let begins = letters.count >= 3 && other.starts(with: letters)
    let longer = max(letters.count, other.count)
    guard !letters.isEmpty, begins || abs(other.count - letters.count) <= max(1, longer / 3) else {
      continue
    }
    let distance = editDistance(letters, other)
    if distance == 0 { return [name] }
    // Part of the word must remain.
    if begins || distance <= max(1, longer / 3) && distance < letters.count {
      near.append((name, begins ? min(distance, 2) : distance))
    }
  }
  near.sort { ($0.distance, $0.name) < ($1.distance, $1.name) }
  return near.prefix(3).map(\.name)
}

private func plain(_ word: String) -> [Unicode.Scalar] {
  word.lowercased().unicodeScalars.filter { $0 != "_" && $0 != "-" }
}

/// ": did you mean 'stride'?", or nothing if no name is near.
public func didYouMean(_ word: String, among names: some Sequence<String>) -> String {
  let near = nearestNames(to: word, among: names).map { "'\($0)'" }
  guard let last = near.last else { return "" }
  let others = near.dropLast().joined(separator: ", ")
  return ": did you mean " + (others.isEmpty ? last : "\(others) or \(last)") + "?"
}

private func editDistance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
  var before: [Int] = []
  var last = Array(0...b.count)
  for i in 0..<a.count {
    var row = [i + 1]
    for j in 0..<b.count {
      var best = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, before[j - 1] + 1) }
      row.append(best)
    }
    (before, last) = (last, row)
  }
  return last[b.count]
}
