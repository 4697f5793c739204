import LuaBridge
import Support
import Tensors

/// The description of one parameter of an operator or of a function of a ``Module``.
public struct Parameter: Sendable {
  enum Form: Sendable {
    case tensor([DType], [Int?]?)
    case number, integer, bool, string, any
  }

  let name: String
  let form: Form
  var isOptional = false

  /// A tensor.
  ///
  /// - Parameters:
  ///   - dtypes: the types that it may have. `lv.gradcheck` compares in f64.
  ///   - shape: its sizes, nil for any: `[1, 3, nil, nil]`; nil altogether for any shape.
  public static func tensor(
    _ name: String, _ dtypes: [DType] = [.f32, .f64], shape: [Int?]? = nil
  ) -> Parameter { Parameter(name: name, form: .tensor(dtypes, shape)) }

  public static func number(_ name: String) -> Parameter { .init(name: name, form: .number) }
  public static func integer(_ name: String) -> Parameter { .init(name: name, form: .integer) }
  public static func bool(_ name: String) -> Parameter { .init(name: name, form: .bool) }
  public static func string(_ name: String) -> Parameter { .init(name: name, form: .string) }
  /// Any Lua value, nil included.
  public static func any(_ name: String) -> Parameter { .init(name: name, form: .any) }

  /// The same parameter, which may be omitted or nil.
  public var optional: Parameter {
    var parameter = self
    parameter.isOptional = true
    return parameter
  }

  /// What is wrong with a value; nil if it is accepted.
  func problem(_ value: Value) -> String? {
    if isOptional, case .nil = value { return nil }
    switch (form, value) {
    case (.any, _), (.number, .number), (.number, .integer), (.bool, .bool), (.string, .string):
      return nil
    case (.integer, .integer),
      (.integer, .number) where value.integer != nil:
      return nil
    case (.tensor(let dtypes, let shape), .tensor(let tensor)):
      let fits = shape.map { sizes in
        sizes.count == tensor.shape.count
          && zip(sizes, tensor.shape).allSatisfy { $0 == nil || $0 == $1 }
      }
      if dtypes.contains(tensor.dtype), fits ?? true { return nil }
      let types = dtypes.map(\.rawValue).joined(separator: " or ")
      let sizes = shape.map { sizes in
        " (" + sizes.map { $0.map(String.init) ?? "any" }.joined(separator: ", ") + ")"
      }
      return "expected \(types)\(sizes ?? ""), got \(tensor.form)"
    default:
      let expected =
        switch form {
        case .tensor: "tensor"
        case .number: "number"
        case .integer: "integer"
        case .bool: "boolean"
        case .string: "string"
        case .any: "value"
        }
      return "expected \(expected), got \(value.typeName)"
    }
  }
}

/// The arguments of a call, each checked against its ``Parameter``.
public struct Arguments {
  let values: [Value]
  fileprivate let names: [String]
  fileprivate let function: String

  /// The value of a parameter; `.nil` if it was omitted.
  ///
  /// - Throws: `.argument` for a name that no parameter has.
  public subscript(_ name: String) -> Value {
    get throws {
      guard let place = names.firstIndex(of: name) else {
        throw LunervError(.argument, "\(function): there is no parameter '\(name)'")
      }
      return values[place]
    }
  }

  private func value<T>(_ name: String, _ expected: String, _ value: (Value) -> T?) throws -> T {
    let found = try self[name]
    guard let result = value(found) else {
      throw LunervError(
        .argument, "\(function): \(name): expected \(expected), got \(found.typeName)")
    }
    return result
  }

  public func tensor(_ name: String) throws -> Tensor { try value(name, "tensor") { $0.tensor } }
  public func number(_ name: String) throws -> Double { try value(name, "number") { $0.number } }
  public func integer(_ name: String) throws -> Int { try value(name, "integer") { $0.integer } }
  public func string(_ name: String) throws -> String { try value(name, "string") { $0.string } }
  public func bool(_ name: String) throws -> Bool { try value(name, "boolean") { $0.bool } }
}

/// The result of an operator, and how gradients flow back to its arguments.
public struct Outcome {
  /// From the gradient of each result, in its shape and type, computes those of the tensors among
  /// the arguments, in order; nil for one that has none.
  public typealias Backward = (_ gradients: [Tensor]) throws -> [Tensor?]

  let results: [Tensor]
  let backward: Backward?

  /// Results that no gradient flows through.
  public init(_ results: Tensor...) { (self.results, backward) = (results, nil) }

  /// Results with a gradient.
  ///
  /// - Parameter backward: it captures the arguments or results that it needs; those are kept until
  ///   the graph is traversed or dropped. It computes without recording, and its gradients are not
  ///   differentiated again. The gradient of a result that was not used is zeros.
  public init(_ results: Tensor..., backward: @escaping Backward) {
    (self.results, self.backward) = (results, backward)
  }
}

/// A Lua module written in Swift: see ``Session/define(_:_:)``.
public final class Module {
  let native: LuaModule
  private weak var core: Core?

  init(_ name: String, _ core: Core) {
    native = LuaModule(name)
    self.core = core
  }

  /// A function of plain values: its returned values are its results in Lua.
  ///
  /// A `LunervError` that it throws is raised at the line of the call; any other error as its text.
  public func function(
    _ name: String, _ parameters: [Parameter] = [], doc: String = "",
    _ body: @escaping (Arguments) throws -> [Value]
  ) {
    define(name, parameters, doc) { arguments, _ in try body(arguments).map(\.lua) }
  }

  /// An operator: computes tensors from tensors, and may define how gradients flow back.
  ///
  /// ```swift
  /// module.operation("wave", [.tensor("x"), .number("omega")]) { call in
  ///   let (x, omega) = (try call.tensor("x"), try call.number("omega"))
  ///   return Outcome(try x.map { sin(omega * $0) }) { gradients in
  ///     [try gradients[0].map(with: x) { g, x in g * omega * cos(omega * x) }]
  ///   }
  /// }
  /// ```
  ///
  /// In Lua its results are ordinary tensors: training, `lv.grad`, `lv.checkpoint` and
  /// `lv.gradcheck` work through it. Arguments are checked before `forward` runs, and gradients
  /// after `backward`: a wrong one is an error at the line of Lua that called the operator, or
  /// `backward`. `forward` computes without recording, and tensors that are not among its arguments
  /// get no gradient.
  public func operation(
    _ name: String, _ parameters: [Parameter], doc: String = "",
    _ forward: @escaping (Arguments) throws -> Outcome
  ) {
    define(name, parameters, doc) { arguments, core in
      let outcome = try core.numbers.unrecorded { try forward(arguments) }
      let inputs = arguments.values.compactMap(\.tensor)
      guard let backward = outcome.backward, !outcome.results.isEmpty else {
        // Detached, since gradients may flow to the arguments themselves.
        return outcome.results.map { .object($0.native.detach()) }
      }
      let results = try Tensors.Tensor.joint(
        outcome.results.map(\.native), of: inputs.map(\.native), name: name
      ) { [weak core] gradients in
        guard let core else { throw LunervError(.argument, "\(name): the session is closed") }
        let found = try Module.described(name) {
          try backward(
            zip(gradients, outcome.results).map { gradient, result in
              try gradient.map { Tensor($0, core) }
                ?? Tensor(Tensors.Tensor.full(0, result.shape, result.dtype), core)
            })
        }
        guard found.count == inputs.count else {
          throw LunervError(
            .argument,
            "\(name): backward: expected \(inputs.count) gradients, one or nil for each tensor among "
              + "the arguments, got \(found.count)")
        }
        return found.map { $0?.native }
      }
      return results.map { .object($0) }
    }
  }

  /// Converts foreign errors to ours.
  private static func described<R>(_ name: String, _ body: () throws -> R) throws -> R {
    do {
      return try body()
    } catch let error as LunervError {
      throw error
    } catch {
      throw LunervError(.script, "\(name): \(error)")
    }
  }

  private func define(
    _ name: String, _ parameters: [Parameter], _ doc: String,
    _ body: @escaping (Arguments, Core) throws -> [LuaValue]
  ) {
    let names = parameters.map(\.name)
    native.define(name, params: names, doc: doc) {
      [weak core] (given: LuaVarargs) throws -> LuaResults in
      guard let core else { throw LunervError(.argument, "\(name): the session is closed") }
      var values = given.values.map { Value($0, core) }
      while values.count > parameters.count, case .nil? = values.last { values.removeLast() }
      guard values.count <= parameters.count else {
        throw LunervError(
          .argument,
          "\(name): expected at most \(parameters.count) argument\(parameters.count == 1 ? "" : "s"), got \(values.count)"
        )
      }
      while values.count < parameters.count { values.append(.nil) }
      for (i, parameter) in parameters.enumerated() {
        if let problem = parameter.problem(values[i]) {
          throw LunervError(
            .argument, "\(name): argument \(i + 1) (\(parameter.name)): \(problem)")
        }
      }
      let arguments = Arguments(values: values, names: names, function: name)
      return LuaResults(list: try Module.described(name) { try body(arguments, core) })
    }
  }
}

extension Session {
  /// Defines a module for `require`, of functions and operators written in Swift.
  ///
  /// ```swift
  /// try session.define("filters") { module in
  ///   module.operation("sharpen", [.tensor("image", shape: [1, 3, nil, nil])]) { … }
  /// }
  /// try session.run("local filters = require 'filters' …")
  /// ```
  /// A module that a script has already loaded is unchanged. The closures live as long as the
  /// session. They must hold the session and its tensors weakly, or it never ends.
  ///
  /// - Throws: `.argument` for a name that lunerv itself uses.
  public func define(_ name: String, _ body: (Module) throws -> Void) throws {
    guard name != "lunerv", !name.hasPrefix("lunerv.") else {
      throw LunervError(.argument, "define: expected a name outside of 'lunerv', got '\(name)'")
    }
    let core = try open()
    let module = Module(name, core)
    try body(module)
    core.lua.register(module.native)
  }
}
