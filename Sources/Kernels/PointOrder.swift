/// Converts between planes, [n][channels][points], and points, [n][points][lanes], whose padding
/// lanes are zero.
public enum PointOrder {
  private static let block = 1024

  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func pack<T: PointwiseScalar>(
    n: Int, channels: Int, points: Int, lanes: Int, _ x: UnsafePointer<T>,
    _ out: UnsafeMutablePointer<T>
  ) {
    let blocks = (points + block - 1) / block
    ThreadPool.shared.run(n * blocks) { piece in
      let (item, first) = (piece / blocks, piece % blocks * block)
      let count = min(block, points - first)
      let target = out + (item * points + first) * lanes
      for c in 0..<lanes {
        if c < channels {
          let plane = x + (item * channels + c) * points + first
          if lanes == 4 {
            for i in 0..<count { target[i * 4 + c] = plane[i] }
          } else if lanes == 8 {
            for i in 0..<count { target[i * 8 + c] = plane[i] }
          } else {
            for i in 0..<count { target[i * lanes + c] = plane[i] }
          }
        } else {
          for i in 0..<count { target[i * lanes + c] = 0 }
        }
      }
    }
  }

  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func unpack<T: PointwiseScalar>(
    n: Int, channels: Int, points: Int, lanes: Int, _ x: UnsafePointer<T>,
    _ out: UnsafeMutablePointer<T>
  ) {
    let blocks = (points + block - 1) / block
    ThreadPool.shared.run(n * blocks) { piece in
      let (item, first) = (piece / blocks, piece % blocks * block)
      let count = min(block, points - first)
      let source = x + (item * points + first) * lanes
      for c in 0..<channels {
        let plane = out + (item * channels + c) * points + first
        if lanes == 4 {
          for i in 0..<count { plane[i] = source[i * 4 + c] }
        } else {
          for i in 0..<count { plane[i] = source[i * lanes + c] }
        }
      }
    }
  }
}
