import CFFTW
import Glibc

/// Unnormalised two-dimensional real transforms by FFTW, one plane at a time. Plans are
/// made with ESTIMATE, so that the algorithm never depends on timing.
public enum FourierTransform {
  private struct Key: Hashable {
    var h: Int, w: Int
    var double: Bool, inverse: Bool
  }
  /// A plan of FFTW's. A computation holds a reference: the cache may drop it meanwhile.
  private final class Plan {
    let pointer: OpaquePointer
    private let double: Bool

    init(_ pointer: OpaquePointer, double: Bool) {
      (self.pointer, self.double) = (pointer, double)
    }

    deinit {
      locked { double ? fftw_destroy_plan(pointer) : fftwf_destroy_plan(pointer) }
    }
  }

  /// The limit on the total size of cached plans, in elements: those of large primes take as much
  /// memory as what they transform.
  private static let mostKept = 1 << 24
  nonisolated(unsafe) private static var plans: [Key: Plan] = [:]
  nonisolated(unsafe) private static var kept = 0
  nonisolated(unsafe) private static let mutex: UnsafeMutablePointer<pthread_mutex_t> = {
    let m = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    pthread_mutex_init(m, nil)
    return m
  }()

  /// FFTW's planner is not reentrant.
  private static func locked<R>(_ body: () -> R) -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body()
  }

  /// A plan over 64-byte aligned buffers of its shape.
  private static func plan(_ key: Key) -> Plan? {
    // Released after the lock, which the plans' `deinit` takes.
    var forgotten: [Key: Plan] = [:]
    defer { withExtendedLifetime(forgotten) {} }
    return locked {
      if let plan = plans[key] { return plan }
      if kept > mostKept { (forgotten, plans, kept) = (plans, [:], 0) }
      guard let made = made(key) else { return nil }
      let plan = Plan(made, double: key.double)
      plans[key] = plan
      kept += key.h * key.w + 1 << 14
      return plan
    }
  }

  /// Makes the plans of both directions; false if FFTW cannot, and then there is no transform.
  public static func prepare(h: Int, w: Int, double: Bool) -> Bool {
    [false, true].allSatisfy { plan(Key(h: h, w: w, double: double, inverse: $0)) != nil }
  }

  private static func made(_ key: Key) -> OpaquePointer? {
    let (h, w) = (Int32(key.h), Int32(key.w))
    let half = key.h * (key.w / 2 + 1)
    return withScratch { scratch in
      let real = scratch.take(key.h * key.w, of: Double.self)
      let complex = scratch.take(2 * half, of: Double.self)
      let made: OpaquePointer?
      if key.double {
        let c = UnsafeMutableRawPointer(complex).assumingMemoryBound(to: fftw_complex.self)
        made =
          key.inverse
          ? fftw_plan_dft_c2r_2d(h, w, c, real, FFTW_ESTIMATE | FFTW_DESTROY_INPUT)
          : fftw_plan_dft_r2c_2d(h, w, real, c, FFTW_ESTIMATE)
      } else {
        let r = UnsafeMutableRawPointer(real).assumingMemoryBound(to: Float.self)
        let c = UnsafeMutableRawPointer(complex).assumingMemoryBound(to: fftwf_complex.self)
        made =
          key.inverse
          ? fftwf_plan_dft_c2r_2d(h, w, c, r, FFTW_ESTIMATE | FFTW_DESTROY_INPUT)
          : fftwf_plan_dft_r2c_2d(h, w, r, c, FFTW_ESTIMATE)
      }
      return made
    }
  }

  private static let FFTW_ESTIMATE: UInt32 = 1 << 6
  private static let FFTW_DESTROY_INPUT: UInt32 = 1 << 0

  /// plane[h][w] → spectrum[h][w/2+1][re, im]. Both 64-byte aligned.
  static func forward<T: PointwiseScalar>(
    h: Int, w: Int, _ plane: UnsafeMutablePointer<T>, _ spectrum: UnsafeMutablePointer<T>
  ) {
    let double = T.self == Double.self
    guard let plan = plan(Key(h: h, w: w, double: double, inverse: false)) else { return }
    let (r, c) = (UnsafeMutableRawPointer(plane), UnsafeMutableRawPointer(spectrum))
    if double {
      fftw_execute_dft_r2c(
        plan.pointer, r.assumingMemoryBound(to: Double.self),
        c.assumingMemoryBound(to: fftw_complex.self))
    } else {
      fftwf_execute_dft_r2c(
        plan.pointer, r.assumingMemoryBound(to: Float.self),
        c.assumingMemoryBound(to: fftwf_complex.self))
    }
  }

  /// The unnormalised inverse: Σ over the whole (conjugate-symmetric) spectrum, which it destroys.
  static func inverse<T: PointwiseScalar>(
    h: Int, w: Int, _ spectrum: UnsafeMutablePointer<T>, _ plane: UnsafeMutablePointer<T>
  ) {
    let double = T.self == Double.self
    guard let plan = plan(Key(h: h, w: w, double: double, inverse: true)) else { return }
    let (r, c) = (UnsafeMutableRawPointer(plane), UnsafeMutableRawPointer(spectrum))
    if double {
      fftw_execute_dft_c2r(
        plan.pointer, c.assumingMemoryBound(to: fftw_complex.self),
        r.assumingMemoryBound(to: Double.self))
    } else {
      fftwf_execute_dft_c2r(
        plan.pointer, c.assumingMemoryBound(to: fftwf_complex.self),
        r.assumingMemoryBound(to: Float.self))
    }
  }

  /// The forward transform of each of `planes` planes: x[p][h][w] → y[p][h][w/2+1][2].
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func forwardAll<T: PointwiseScalar>(
    planes: Int, h: Int, w: Int, _ x: UnsafePointer<T>, _ y: UnsafeMutablePointer<T>
  ) {
    let half = 2 * h * (w / 2 + 1)
    ThreadPool.shared.run(planes) { p in
      withScratch { scratch in
        let real = scratch.take(h * w, of: T.self)
        let spectrum = scratch.take(half, of: T.self)
        real.update(from: x + p * h * w, count: h * w)
        forward(h: h, w: w, real, spectrum)
        (y + p * half).update(from: spectrum, count: half)
      }
    }
  }

  /// The adjoint of ``forwardAll``: from the gradient of the stored half spectrum alone.
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func adjointAll<T: PointwiseScalar>(
    planes: Int, h: Int, w: Int, _ g: UnsafePointer<T>, _ x: UnsafeMutablePointer<T>
  ) {
    let columns = w / 2 + 1
    let half = 2 * h * columns
    ThreadPool.shared.run(planes) { p in
      withScratch { scratch in
        let real = scratch.take(h * w, of: T.self)
        let spectrum = scratch.take(half, of: T.self)
        for y in 0..<h {
          for c in 0..<columns {
            let i = 2 * (y * columns + c)
            // The inverse counts a column and its mirror image: half for those that have one.
            let weight: T = c == 0 || 2 * c == w ? 1 : 0.5
            spectrum[i] = g[p * half + i] * weight
            spectrum[i + 1] = g[p * half + i + 1] * weight
          }
        }
        // In the columns that are their own mirror image only the symmetric part counts, and FFTW
        // expects nothing else.
        for c in w % 2 == 0 ? [0, w / 2] : [0] {
          symmetrise(spectrum, column: c, h: h, columns: columns)
        }
        inverse(h: h, w: w, spectrum, real)
        (x + p * h * w).update(from: real, count: h * w)
      }
    }
  }

  static func symmetrise<T: PointwiseScalar>(
    _ s: UnsafeMutablePointer<T>, column c: Int, h: Int, columns: Int
  ) {
    for y in 0...(h / 2) {
      let mirror = (h - y) % h
      let (i, j) = (2 * (y * columns + c), 2 * (mirror * columns + c))
      let re = (s[i] + s[j]) / 2
      let im = (s[i + 1] - s[j + 1]) / 2
      (s[i], s[i + 1]) = (re, im)
      (s[j], s[j + 1]) = (re, -im)
    }
  }

  /// Mean |Re| + |Im| over the full unnormalised spectra of `planes` planes of a program, and its
  /// gradient with respect to the planes' values if `gradient` is given. The mean counts real and
  /// imaginary parts as separate elements (arXiv 2402.18152).
  @_specialize(where T == Float)
  @_specialize(where T == Double)
  public static func absoluteMean<T: PointwiseScalar>(
    planes: Int, h: Int, w: Int, _ program: PointwiseProgramOf<T>,
    gradient: UnsafeMutablePointer<T>?
  ) -> Double {
    let columns = w / 2 + 1
    let scale = 1 / (2 * Double(planes) * Double(h) * Double(w))
    return withScratch { scratch in
      let sums = scratch.take(planes, of: Double.self)
      ThreadPool.shared.run(planes) { p in
        withScratch { scratch in
          let real = scratch.take(h * w, of: T.self)
          let spectrum = scratch.take(2 * h * columns, of: T.self)
          program.evaluate(start: p * h * w, count: h * w, into: real)
          forward(h: h, w: w, real, spectrum)
          var total = 0.0
          let unit = T(scale)
          for y in 0..<h {
            let row = spectrum + 2 * y * columns
            // Columns 0 and w/2 are their own mirror image; the others stand for two.
            var (once, twice): (T, T) = (0, 0)
            for c in 0..<columns {
              let (re, im) = (row[2 * c], row[2 * c + 1])
              let size = (re < 0 ? -re : re) + (im < 0 ? -im : im)
              if c == 0 || 2 * c == w { once += size } else { twice += size }
              row[2 * c] = re > 0 ? unit : re < 0 ? -unit : 0
              row[2 * c + 1] = im > 0 ? unit : im < 0 ? -unit : 0
            }
            total += Double(once) + 2 * Double(twice)
          }
          sums[p] = total
          if let gradient {
            inverse(h: h, w: w, spectrum, real)
            (gradient + p * h * w).update(from: real, count: h * w)
          }
        }
      }
      var total = 0.0
      for p in 0..<planes { total += sums[p] }
      return total * scale
    }
  }
}
