// Suggestions for names that do not exist.
import Testing

@testable import Support

@Suite struct NearestNamesTests {
  private let names = ["shape", "stride", "sum", "sub", "relu", "gelu", "silu", "requires_grad"]

  @Test(arguments: [
    ("shpae", ["shape"]), ("shap", ["shape"]), ("strid", ["stride"]), ("stridee", ["stride"]),
    ("Relu", ["relu"]), ("relo", ["relu"]), ("elu", ["gelu", "relu"]),
    ("require_gard", ["requires_grad"]), ("summ", ["sum"]), ("req", ["requires_grad"]),
    ("requiresGrad", ["requires_grad"]), ("su", ["sub", "sum"]),
    ("colour", []), ("", []), ("x", []), ("strd", ["stride"]),
  ])
  func nearest(_ word: String, _ expected: [String]) {
    #expect(nearestNames(to: word, among: names) == expected)
  }

  @Test func atMostThreeAndNeverForLongWords() {
    #expect(nearestNames(to: "aa", among: ["ab", "ac", "ad", "ae", "a"]) == ["a", "ab", "ac"])
    #expect(nearestNames(to: String(repeating: "a", count: 1 << 20), among: names) == [])
  }

  @Test func asWords() {
    #expect(didYouMean("shpae", among: names) == ": did you mean 'shape'?")
    #expect(didYouMean("su", among: names) == ": did you mean 'sub' or 'sum'?")
    #expect(didYouMean("aa", among: ["ab", "ac", "ad"]) == ": did you mean 'ab', 'ac' or 'ad'?")
    #expect(didYouMean("colour", among: names) == "")
  }
}
