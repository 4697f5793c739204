/// A window over the depth of frames (N, C, D, H, W), as images. Image n · outDepth + d stacks the
/// slices that the window covers at d: its channel (group · taps + tap) · C/groups + i is channel
/// group · C/groups + i of slice d · stride + tap · dilation − padding, or zeros outside.
public struct DepthStack: Sendable {
  public var channels: Int, groups: Int, depth: Int, height: Int, width: Int
  public var outDepth: Int, taps: Int, stride: Int, dilation: Int, padding: Int

  public init(
    channels: Int, groups: Int, depth: Int, height: Int, width: Int, outDepth: Int, taps: Int,
    stride: Int, dilation: Int, padding: Int
  ) {
    self.channels = channels
    self.groups = groups
    self.depth = depth
    self.height = height
    self.width = width
    self.outDepth = outDepth
    self.taps = taps
    self.stride = stride
    self.dilation = dilation
    self.padding = padding
  }

  /// The plane of the frames that is channel `c` of image `image`; nil for zeros.
  private func plane(_ image: Int, _ c: Int) -> Int? {
    let perGroup = channels / groups
    let (group, rest) = (c / (taps * perGroup), c % (taps * perGroup))
    let d = image % outDepth * stride + rest / perGroup * dilation - padding
    guard d >= 0, d < depth else { return nil }
    return (image / outDepth * channels + group * perGroup + rest % perGroup) * depth + d
  }

  /// The images of `range`: channels-last with `lanes` lanes, planar where it is nil.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public func gather<T: BinaryFloatingPoint>(
    _ x: UnsafePointer<T>, _ range: Range<Int>, lanes: Int?, _ out: UnsafeMutablePointer<T>
  ) {
    let (all, size) = (channels * taps, height * width)
    guard let lanes else {
      ThreadPool.shared.run(range.count * all) { index in
        let to = out + index * size
        if let plane = plane(range.lowerBound + index / all, index % all) {
          to.update(from: x + plane * size, count: size)
        } else {
          to.update(repeating: 0, count: size)
        }
      }
      return
    }
    ThreadPool.shared.run(range.count * height) { index in
      let (i, y) = (index / height, index % height)
      let row = out + index * width * lanes
      // Few pixels at a time: all their channels stay in the first-level cache.
      var x0 = 0
      while x0 < width {
        let x1 = min(x0 + 16, width)
        for c in 0..<all {
          if let plane = plane(range.lowerBound + i, c) {
            let p = x + plane * size + y * width
            for px in x0..<x1 { row[px * lanes + c] = p[px] }
          } else {
            for px in x0..<x1 { row[px * lanes + c] = 0 }
          }
        }
        for c in all..<lanes { for px in x0..<x1 { row[px * lanes + c] = 0 } }
        x0 = x1
      }
    }
  }

  /// Adds the images of `range` to the frames: the adjoint of `gather`.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public func scatter<T: BinaryFloatingPoint>(
    _ images: UnsafePointer<T>, _ range: Range<Int>, lanes: Int?,
    addedTo x: UnsafeMutablePointer<T>
  ) {
    let (all, size) = (channels * taps, height * width)
    // A row of all planes is one piece: no two pieces write to the same place.
    ThreadPool.shared.run(height) { y in
      for i in 0..<range.count {
        var x0 = 0
        while x0 < width {
          let x1 = min(x0 + 16, width)
          for c in 0..<all {
            guard let plane = plane(range.lowerBound + i, c) else { continue }
            let to = x + plane * size + y * width
            if let lanes {
              let row = images + (i * height + y) * width * lanes + c
              for px in x0..<x1 { to[px] += row[px * lanes] }
            } else {
              let row = images + (i * all + c) * size + y * width
              for px in x0..<x1 { to[px] += row[px] }
            }
          }
          x0 = x1
        }
      }
    }
  }
}
