/// A convolution's weights, O×I×kh×kw contiguous, as read by one of its three products.
///
/// `inputs` and `outputs` are the channels on either side *of this product*: for the data gradient
/// the roles are swapped, the kernel is rotated by 180°, and `transposed` is true.
struct WeightView {
  var memory: UnsafePointer<Float>
  var o: Int
  var i: Int
  var kh: Int
  var kw: Int
  var transposed: Bool

  /// The weight from seen channel `from` of the product's input to channel `to` of its
  /// output, at tap (y, x) of the stored kernel.
  @inline(__always) func at(from: Int, to: Int, _ y: Int, _ x: Int) -> Float {
    taps(from: from, to: to)[y * kw + x]
  }

  /// All taps from seen channel `from` to channel `to`, row by row. Transposed weights are to be
  /// read from the last to the first.
  @inline(__always) func taps(from: Int, to: Int) -> UnsafePointer<Float> {
    let (out, inp) = transposed ? (from, to) : (to, from)
    return memory + (out * i + inp) * kh * kw
  }
  var inputs: Int { transposed ? o : i }
  var outputs: Int { transposed ? i : o }

  /// The kernels from seen channel `from` to the group's lanes, as in ``taps(from:to:)``; padding
  /// lanes get `zeros`.
  @inline(__always) func kernels(
    from: Int, to group: LaneGroup, zeros: UnsafePointer<Float>
  ) -> InlineArray<8, UnsafePointer<Float>> {
    var kernels = InlineArray<8, UnsafePointer<Float>>(repeating: zeros)
    for l in 0..<8 where group.channels[l] >= 0 {
      kernels[l] = taps(from: from, to: group.channels[l])
    }
    return kernels
  }
}

/// Eight adjacent lanes of a product's output within its matrix of weights, whose layout is
/// [panel][row][panel width].
struct LaneGroup {
  /// Where the group's first row begins.
  let place: Int
  /// Floats from row to row.
  let pitch: Int
  /// Two rows are interleaved in one vector: see ``lastIsHalved(lanes:)``.
  let paired: Bool
  /// The channel of each lane, −1 for padding.
  let channels: InlineArray<8, Int>

  static func all(of output: ImageLayout, rows: Int, halved: Bool) -> [LaneGroup] {
    let panels = panelWidths(lanes: output.lanes)
    var channel = [Int](repeating: -1, count: panels.reduce(0, +))
    for c in 0..<output.seenChannels { channel[output.lane(of: c)] = c }
    var groups: [LaneGroup] = []
    var first = 0
    for (number, width) in panels.enumerated() {
      let pairs = halved && number == panels.count - 1
      let whole = pairs ? width - vectorWidth : width
      for l in stride(from: 0, to: pairs ? whole + 8 : width, by: 8) {
        var channels = InlineArray<8, Int>(repeating: -1)
        for i in 0..<8 { channels[i] = channel[first + l + i] }
        groups.append(
          LaneGroup(
            place: first * rows + (l < whole ? l : whole * rows), pitch: whole,
            paired: l >= whole, channels: channels))
      }
      first += width
    }
    return groups
  }

  /// The offset of the group's eight floats in `row`.
  @inline(__always) func offset(row: Int) -> Int {
    paired ? place + row / 2 * vectorWidth + row % 2 : place + row * pitch
  }
}

/// Bias by lane of the output, zero where there is none.
func laneBias(
  _ bias: UnsafePointer<Float>?, layout: ImageLayout, into out: UnsafeMutablePointer<Float>
) {
  out.update(repeating: 0, count: layout.lanes)
  guard let bias else { return }
  for c in 0..<layout.seenChannels { out[layout.lane(of: c)] = bias[c] }
}

/// A convolution's weights as read by a form of Winograd's algorithm. Worth keeping where the same
/// weights serve many inputs, as in decoding.
public final class PreparedWeights {
  let memory: UnsafeMutablePointer<Float>
  private let form: WinogradForm
  private let layouts: [[Int]]

  init(_ form: WinogradForm, input: ImageLayout, output: ImageLayout) {
    let count = max(form.weightCount(input: input, output: output), 1)
    memory = UnsafeMutableRawPointer.allocate(byteCount: count * 4, alignment: 64)
      .bindMemory(to: Float.self, capacity: count)
    self.form = form
    layouts = [input, output].map(PreparedWeights.key)
  }

  deinit { UnsafeMutableRawPointer(memory).deallocate() }

  /// Images of any size may share them, but not with another channel layout or another algorithm.
  public func serves(
    _ s: ConvolutionShape, by algorithm: ConvolutionAlgorithm, input: ImageLayout,
    output: ImageLayout
  ) -> Bool {
    Convolution.form(algorithm, kernel: s.kh) == form
      && [input, output].map(PreparedWeights.key) == layouts
  }

  private static func key(_ layout: ImageLayout) -> [Int] {
    [layout.channels, layout.shuffle, layout.planar ? 1 : 0]
  }
}
