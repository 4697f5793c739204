/// Transforms the tiles of a task back along y, adds the bias, applies the activation and stores.
///
/// A pixel of `shuffle` s occupies s rows of memory, `run` floats in each; the pixels of a tile's
/// row are adjacent there. Results that are stored past the caches are first gathered in a buffer,
/// so that whole cache lines are written: the processor would write half lines twice. Results with
/// an activation go through the buffer too.
struct TileStore {
  private let output: ImageTarget
  private let form: WinogradForm
  private let bias: UnsafePointer<Float>
  private let run: Int
  /// Floats from row to row, in memory and in the buffer.
  private let pitch: Int, bufferPitch: Int
  private let buffer: UnsafeMutablePointer<Float>?
  private let streaming: Bool
  /// Where a planar image's pixels are split into channels.
  private let column: UnsafeMutablePointer<Float>

  /// `bias` has a value for each lane, followed by a vector's worth of memory.
  init(
    _ output: ImageTarget, form: WinogradForm, bias: UnsafePointer<Float>, _ scratch: Scratch
  ) {
    (self.output, self.form, self.bias) = (output, form, bias)
    let layout = output.layout
    run = layout.shuffle * layout.paddedChannels
    pitch = layout.width * layout.paddedChannels
    bufferPitch = roundUp(form.outputs * run, vectorWidth) + vectorWidth
    streaming = !layout.planar && streams(layout.count)
    buffer =
      streaming || output.activation != nil
      ? scratch.floats(form.outputs * layout.shuffle * bufferPitch) : nil
    column = scratch.floats(form.outputs * vectorWidth)
  }

  /// Call before another thread reads the results.
  func finish() { finishStreaming(streaming) }

  /// Stores the tile whose first pixel is (y, x) of image `n`. `half` is the tile transformed back
  /// along x, [tile][outputs][lanes].
  func run(_ half: UnsafePointer<Float>, lanes: Int, n: Int, y: Int, x: Int) {
    let layout = output.layout
    let rows = min(form.outputs, layout.seenHeight - y)
    let columns = min(form.outputs, layout.seenWidth - x)
    if layout.planar {
      planar(half, lanes: lanes, n: n, y: y, x: x, rows: rows, columns: columns)
      return
    }
    let pixel = output.pixel(n: n, y: y, x: x)
    if let buffer {
      channelsLast(
        half, lanes: lanes, to: buffer, pitch: bufferPitch, rows: form.outputs, columns: columns,
        spills: true)
      let count = columns * run
      for row in 0..<rows * layout.shuffle {
        let line = buffer + row * bufferPitch
        if let activation = output.activation {
          Float.apply(activation, p: 0, q: 0, count, line, line, line, line)
        }
        if streaming {
          stream(line, to: pixel + row * pitch, count: count)
        } else {
          (pixel + row * pitch).update(from: line, count: count)
        }
      }
    } else {
      channelsLast(
        half, lanes: lanes, to: pixel, pitch: pitch, rows: rows, columns: columns, spills: false)
    }
  }

  /// Pixel by pixel, so that each row is written in order. If `spills`, the tail of a pixel's last
  /// vector is overwritten by the next pixel.
  @inline(__always) private func channelsLast(
    _ half: UnsafePointer<Float>, lanes: Int, to out: UnsafeMutablePointer<Float>, pitch: Int,
    rows: Int, columns: Int, spills: Bool
  ) {
    let (s, run, bias) = (output.layout.shuffle, run, bias)
    form.specialised { form in
      let (next, step) = (form.outputs * lanes, s * pitch)
      for j in 0..<columns {
        for a in 0..<s {
          forEachVectorOfLanes(run) { c in
            let lane = a * run + c
            let b = load(bias + lane)
            let r = form.output(half + j * lanes + lane, stride: next)
            let q = out + a * pitch + j * run + c
            let whole = spills || c + vectorWidth <= run
            store(r.0 + b, q, whole: whole)
            if rows > 1 { store(r.1 + b, q + step, whole: whole) }
            if rows > 2 { store(r.2 + b, q + 2 * step, whole: whole) }
            if rows > 3 { store(r.3 + b, q + 3 * step, whole: whole) }
            if form.outputs > 4, rows > 4 { store(r.4 + b, q + 4 * step, whole: whole) }
            if form.outputs > 4, rows > 5 { store(r.5 + b, q + 5 * step, whole: whole) }
          }
        }
      }
    }
  }

  /// A whole vector, or its first eight floats.
  @inline(__always) private func store(
    _ v: Vector, _ q: UnsafeMutablePointer<Float>, whole: Bool
  ) {
    if whole { Kernels.store(v, q) } else { storeFirst(8, v, q) }
  }

  @inline(never) private func planar(
    _ half: UnsafePointer<Float>, lanes: Int, n: Int, y: Int, x: Int, rows: Int, columns: Int
  ) {
    let layout = output.layout
    let (s, cp, size) = (layout.shuffle, layout.paddedChannels, layout.height * layout.width)
    form.specialised { form in
      for j in 0..<columns {
        forEachVectorOfLanes(layout.lanes) { c in
          Kernels.store(
            form.output(half + j * lanes + c, stride: form.outputs * lanes), count: form.outputs,
            column, stride: vectorWidth)
          for l in c..<min(c + vectorWidth, layout.lanes) {
            let (group, channel) = (l / cp, l % cp)
            guard channel < layout.channels else { continue }
            let first = (n * layout.channels + channel) * size + (x + j) * s + group % s
            for i in 0..<rows {
              output.memory[first + ((y + i) * s + group / s) * layout.width] =
                column[i * vectorWidth + l - c] + bias[l]
            }
          }
        }
      }
    }
  }
}
