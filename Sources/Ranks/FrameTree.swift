/// The order in which the gradients of a batch are added: a binary tree over its frames that depends
/// only on their number. Floating-point sums depend on their order; because all processes add in
/// this one, any number of ranks gives the same bits.
///
/// A node is a range of frames. It splits after the largest power of two below its length: 5 frames
/// are 4 and 1, 6 are 4 and 2.
public enum FrameTree {
  public typealias Node = Range<Int>

  /// The frame at which a node of two or more frames splits.
  static func middle(_ node: Node) -> Int {
    var left = 1
    while left < node.count - left { left *= 2 }
    return node.lowerBound + left
  }

  /// The two nodes whose sum is a node of two or more frames.
  public static func halves(of node: Node) -> (left: Node, right: Node) {
    let middle = middle(node)
    return (node.lowerBound..<middle, middle..<node.upperBound)
  }

  /// The largest nodes of the tree over `count` frames that lie within `range`, in order.
  public static func nodes(of count: Int, within range: Range<Int>) -> [Node] {
    var found: [Node] = []
    func visit(_ node: Node) {
      guard node.overlaps(range) else { return }
      if range.lowerBound <= node.lowerBound, node.upperBound <= range.upperBound {
        found.append(node)
      } else {
        let (left, right) = halves(of: node)
        visit(left)
        visit(right)
      }
    }
    if count > 0 { visit(0..<count) }
    return found
  }

  /// The other half of a node's parent, and the parent; nil for the whole tree over `count` frames.
  public static func sibling(of node: Node, among count: Int) -> (other: Node, parent: Node)? {
    var parent = 0..<count
    guard node != parent else { return nil }
    while parent.count > 1 {
      let (left, right) = halves(of: parent)
      if node == left { return (right, parent) }
      if node == right { return (left, parent) }
      parent = node.lowerBound < right.lowerBound ? left : right
    }
    return nil
  }

  /// The frames of a batch of `count` that rank `rank` of `size` computes: in order and evenly; the
  /// first ranks get the remainder, one frame each.
  public static func share(of count: Int, rank: Int, size: Int) -> Range<Int> {
    let (least, rest) = count.quotientAndRemainder(dividingBy: size)
    let first = rank * least + min(rank, rest)
    return first..<(first + least + (rank < rest ? 1 : 0))
  }
}
