import Testing

@testable import Ranks

/// The order in which the gradients of a batch are added.
@Suite struct FrameTreeTests {
  /// The sum of a node as text, so that the order shows.
  private func text(_ node: FrameTree.Node) -> String {
    guard node.count > 1 else { return "\(node.lowerBound)" }
    let (left, right) = FrameTree.halves(of: node)
    return "(\(text(left))+\(text(right)))"
  }

  @Test func splitsAfterTheLargestPowerOfTwo() {
    #expect(text(0..<1) == "0")
    #expect(text(0..<3) == "((0+1)+2)")
    #expect(text(0..<4) == "((0+1)+(2+3))")
    #expect(text(0..<6) == "(((0+1)+(2+3))+(4+5))")
    #expect(FrameTree.halves(of: 0..<Int.max).left == 0..<1 << 62)
  }

  @Test(arguments: 1...17) func sharesCoverTheBatchOnce(_ count: Int) {
    for size in 1...9 {
      let shares = (0..<size).map { FrameTree.share(of: count, rank: $0, size: size) }
      #expect(shares.flatMap { Array($0) } == Array(0..<count))
      let lengths = shares.map(\.count)
      #expect((lengths.max() ?? 0) - (lengths.min() ?? 0) <= 1)
    }
  }

  /// Whatever the ranks' shares are, the nodes that they add up by themselves are nodes of the tree
  /// over the whole batch, and lead to the same sum.
  @Test(arguments: 1...17) func anyNumberOfRanksAddsInOneOrder(_ count: Int) {
    for size in 1...9 {
      var sums: [FrameTree.Node: String] = [:]
      for rank in 0..<size {
        let own = FrameTree.share(of: count, rank: rank, size: size)
        let nodes = FrameTree.nodes(of: count, within: own)
        #expect(nodes.flatMap { Array($0) } == Array(own))
        for node in nodes { sums[node] = text(node) }
      }
      func settle(_ node: FrameTree.Node) -> String {
        if let sum = sums[node] { return sum }
        let (left, right) = FrameTree.halves(of: node)
        return "(\(settle(left))+\(settle(right)))"
      }
      #expect(settle(0..<count) == text(0..<count))
    }
  }

  @Test func siblingsMeetInTheirParent() throws {
    let (other, parent) = try #require(FrameTree.sibling(of: 4..<6, among: 7))
    #expect(other == 6..<7 && parent == 4..<7)
    let last = try #require(FrameTree.sibling(of: 4..<7, among: 7))
    #expect(last.other == 0..<4 && last.parent == 0..<7)
    #expect(FrameTree.sibling(of: 0..<7, among: 7) == nil)
    #expect(FrameTree.sibling(of: 1..<3, among: 7) == nil)
  }
}
