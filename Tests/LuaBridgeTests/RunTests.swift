import Glibc
import Support
import Testing

@testable import LuaBridge

/// Running files: arguments, modules in the same folder, sources from the host, errors in the file
/// itself.
@Suite struct RunTests {
  /// Writes files into a new folder and removes it afterwards.
  private func withFolder(_ files: [String: String], _ body: (String) throws -> Void) throws {
    var template = Array("/tmp/lunerv-bridge-XXXXXX".utf8CString)
    let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    defer {
      for name in files.keys { unlink(folder + "/" + name) }
      rmdir(folder)
    }
    for (name, text) in files {
      let file = try #require(fopen(folder + "/" + name, "w"))
      fputs(text, file)
      fclose(file)
    }
    try body(folder)
  }

  @Test func argumentsAndNeighbours() throws {
    let script = """
      #!/usr/bin/env lunerv
      local a, b = ...
      assert(a == 'one' and b == 'two' and select('#', ...) == 2)
      assert(arg[0]:find('main.lua$') and arg[1] == 'one' and arg[2] == 'two')
      assert(require('gated').name == 'gated block')
      """
    let files = ["main.lua": script, "gated.lua": "return {name = 'gated block'}"]
    try withFolder(files) { folder in
      try LuaState().run(file: folder + "/main.lua", arguments: ["one", "two"])
    }
  }

  @Test func neighboursAreFoundWhereverTheScriptLies() throws {
    var template = Array("/tmp/lunerv-a;b?-XXXXXX".utf8CString)
    let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    try Files.makeDirectories(folder + "/deep/inner")
    defer { _ = system("rm -r '\(folder)' '\(folder.replacing("a;b?", with: "link"))'") }
    let script = "assert(require('near').name == 'near' and require('deep.inner').name == 'init')"
    try Files.writeAtomically(folder + "/main.lua", text: script)
    try Files.writeAtomically(folder + "/near.lua", text: "return { name = 'near' }")
    try Files.writeAtomically(folder + "/deep/inner/init.lua", text: "return { name = 'init' }")
    try LuaState().run(file: folder + "/main.lua", arguments: [])
    // Through a link, from the target's folder.
    let elsewhere = folder.replacing("a;b?", with: "link")
    try Files.makeDirectories(elsewhere)
    #expect(symlink(folder + "/main.lua", elsewhere + "/start.lua") == 0)
    try LuaState().run(file: elsewhere + "/start.lua", arguments: [])
    // The link's own folder comes first.
    try Files.writeAtomically(elsewhere + "/near.lua", text: "return { name = 'other' }")
    #expect(throws: LunervError.self) {
      try LuaState().run(file: elsewhere + "/start.lua", arguments: [])
    }
    // A mistake in such a module is reported at its own line.
    try Files.writeAtomically(folder + "/near.lua", text: "\nerror('wrong')")
    unlink(elsewhere + "/near.lua")
    #expect {
      try LuaState().run(file: folder + "/main.lua", arguments: [])
    } throws: {
      ($0 as? LunervError)?.text.contains("near.lua:2: wrong") == true
    }
  }

  @Test func faultsInTheFileAreReported() throws {
    try withFolder(["bad.lua": "local x = 1\nx = = 2\n", "fails.lua": "\n\nerror('x')"]) { folder in
      #expect {
        try LuaState().run(file: folder + "/bad.lua", arguments: [])
      } throws: {
        let error = $0 as? LunervError
        return error?.text.hasPrefix("\(folder)/bad.lua:2: unexpected symbol") == true
          && error?.kind == .data
      }
      #expect {
        try LuaState().run(file: folder + "/fails.lua", arguments: [])
      } throws: {
        ($0 as? LunervError)?.text == "\(folder)/fails.lua:3: x"
      }
      #expect {
        try LuaState().run(file: folder + "/none.lua", arguments: [])
      } throws: {
        ($0 as? LunervError)?.kind == .io
      }
    }
  }

  @Test func bytecodeIsRefused() throws {
    let state = try LuaState()
    #expect(throws: LunervError.self) {
      try state.run(source: "\u{1b}Lua", chunkName: "@x.lua")
    }
  }

  @Test func sourcesComeFromTheHost() throws {
    let state = try LuaState()
    var asked: [String] = []
    state.addSource { name in
      asked.append(name)
      switch name {
      case "lunerv.train": return (Array("return {...}".utf8), "@lunerv:train.lua")
      case "lunerv.broken": return (Array("return ]".utf8), "@lunerv:broken.lua")
      case "lunerv.failing": throw LunervError(.io, "cannot read it")
      default: return nil
      }
    }
    let results = try state.run(
      source: """
        local t = require 'lunerv.train'
        require 'lunerv.train'
        return t[1], t[2], select(2, pcall(require, 'lunerv.broken')),
          select(2, pcall(require, 'lunerv.failing')), select(2, pcall(require, 'nowhere'))
        """, chunkName: "@t.lua")
    let texts = results.map { if case .string(let text) = $0 { text } else { "" } }
    #expect(texts[0] == "lunerv.train" && texts[1] == "lunerv:train.lua")
    #expect(texts[2].contains("broken.lua:1: unexpected symbol"))
    #expect(texts[3].contains("cannot read it"))
    #expect(texts[4].contains("module 'nowhere' not found"))
    #expect(asked.filter { $0 == "lunerv.train" }.count == 1)
  }

  @Test func resultsAreCopied() throws {
    let results = try LuaState().run(
      source: "return 1, 2.5, 'x', {1, 2}, nil, print, ...", chunkName: "=t", arguments: ["a"])
    #expect(results.count == 7)
    guard case .int(1) = results[0], case .number(2.5) = results[1], case .string("x") = results[2],
      case .array(let list) = results[3], list.count == 2, case .nil_ = results[4],
      case .function = results[5], case .string("a") = results[6]
    else {
      Issue.record("unexpected results: \(results)")
      return
    }
  }
}
