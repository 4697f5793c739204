-- Nearest names, and options declared once.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local names <const> = require "lunerv.names"

local raises <const>, test <const> = harness.raises, harness.test

local eq <const> = harness.equal

test("names: a slip of the keyboard is recognised, another word is not", function()
  local known = { "conv2d", "cos", "sigmoid", "softmax", "batch_size", "Conv2d" }
  eq(table.concat(names.nearest("sigmiod", known), " "), "sigmoid")
  eq(names.nearest("batchSize", known)[1], "batch_size")
  eq(names.nearest("soft", known)[1], "softmax")
  eq(#names.nearest("transformer", known), 0)
  eq(#names.nearest("", known), 0)
  eq(#names.nearest(("x"):rep(1e6), known), 0)
  eq(names.meant("sigmiod", known), ": did you mean 'sigmoid'?")
  eq(names.meant("modl", { "model", "mode" }, "--"), ": did you mean '--mode' or '--model'?")
end)

test("options.takes: checks, completes, and names its function", function()
  local takes = lv.options.takes("own.block", {
    { "kernel", 1, "side of the kernel" },
    { "bias", true, "whether a bias is added" },
    { "padding", nil, "zeros around the input", type = "integer" },
    { "act", nil, "what bends", type = "string|function" },
  })
  eq(takes().kernel, 1)
  eq(takes { kernel = 3 }.kernel, 3)
  eq(takes { bias = false }.bias, false)
  eq(takes { padding = 2 }.padding, 2)
  eq(takes { act = print }.act, print)
  raises(function() takes { kernal = 3 } end,
    "own.block: unknown option 'kernal': did you mean 'kernel'? (known: act, bias, kernel, ")
  raises(function() takes { kernel = "3" } end,
    "own.block: option 'kernel': expected number, got string")
  raises(function() takes { padding = 0.5 } end,
    "own.block: option 'padding': expected integer, got number")
  raises(function() takes { act = 3 } end,
    "own.block: option 'act': expected string or function, got number")
  raises(function() takes(3) end, "own.block: expected a table of options, got number")
end)
