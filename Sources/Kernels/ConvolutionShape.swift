/// The sizes of a convolution of (N, inputs, height, width) with weights
/// (outputs, inputs/groups, kh, kw), and how its window moves.
public struct ConvolutionShape: Equatable, Sendable {
  public var n: Int, inputs: Int, height: Int, width: Int
  public var outputs: Int, kh: Int, kw: Int
  public var strideY: Int, strideX: Int
  public var dilationY = 1, dilationX = 1
  /// Zeros before the first row and column.
  public var padY: Int, padX: Int
  /// Zeros after the last ones; a negative number is rows and columns that are not read.
  public var padEndY: Int, padEndX: Int
  public var groups: Int

  public init(
    n: Int, inputs: Int, height: Int, width: Int, outputs: Int, kh: Int, kw: Int, stride: Int,
    padY: Int, padX: Int, groups: Int
  ) {
    self.n = n
    self.inputs = inputs
    self.height = height
    self.width = width
    self.outputs = outputs
    self.kh = kh
    self.kw = kw
    (strideY, strideX) = (stride, stride)
    (self.padY, self.padX) = (padY, padX)
    (padEndY, padEndX) = (padY, padX)
    self.groups = groups
  }

  /// Rows and columns from the first tap to the last.
  public var spanY: Int { dilationY * (kh - 1) + 1 }
  public var spanX: Int { dilationX * (kw - 1) + 1 }
  public var outHeight: Int { (height + padY + padEndY - spanY) / strideY + 1 }
  public var outWidth: Int { (width + padX + padEndX - spanX) / strideX + 1 }

  /// Reads every input pixel, with adjacent taps and as many zeros after as before.
  var isPlain: Bool {
    strideY == 1 && strideX == 1 && dilationY == 1 && dilationX == 1 && padEndY == padY
      && padEndX == padX
  }
}
