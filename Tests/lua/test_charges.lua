-- Operators charge their cost before they run: the budgets of programs in files depend on it.
local calls <const> = require "operator_calls"
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"

local equal <const>, test <const> = harness.equal, harness.test

local function set(names)
  local known = {}
  for name in names:gmatch "%S+" do known[name] = true end
  return known
end

-- Operators that only look at a shape, or return their argument.
local looks <const> = set("detach dim evaluate expand flatten numel reshape size squeeze unsqueeze "
  .. "view straight_through")
-- Operators that read no more than they write.
local picks <const> = set("select slice x[…] index_select gather topk full_like zeros_like "
  .. "ones_like rand_like randn_like fill_ zero_ uniform_ normal_ trunc_normal_ item")
-- Operators that write no more than they get: a part of their result, or of their arguments.
local parts <const> = { ["x[…] = y"] = true }

local call_units <const> = 1000

test("the list of calls has every pure operator", function()
  local called = {}
  for _, call in ipairs(calls.of_size(4)) do called[call[1]] = true end
  for _, name in ipairs(native.pure_operators) do
    assert(called[name], name .. ": no call of it in operator_calls.lua")
  end
end)

test("every operator charges for what it reads and writes", function()
  local wrong = {}
  for _, size in ipairs { 4, 3000 } do
    for _, call in ipairs(calls.of_size(size)) do
      local name, results = call[1], nil
      local units = native.work_charged(function() results = calls.run(call) end)
      local read, written = calls.elements(call, results)
      if looks[name] then read, written = 0, 0 end
      if picks[name] then read = written end
      if parts[name] then read, written = 0, written // size end
      if units < call_units + (read + written) // 2 then
        wrong[#wrong + 1] = ("%s %s: %d read, %d written, %d charged"):format(
          tostring(name), call[2], read, written, units)
      end
    end
  end
  assert(#wrong == 0, table.concat(wrong, "\n"))
end)

test("an operator beyond the budget does not run", function()
  -- A deferred value is stored once a call has read it, so the second call gets others.
  local again = calls.of_size(3000)
  for i, call in ipairs(calls.of_size(3000)) do
    local units = native.work_charged(function() calls.run(call) end)
    local began
    local _, message = pcall(native.work_charged, function()
      began = true
      calls.run(again[i])
    end, units // 2)
    assert(began and tostring(message):find("max_work", 1, true), ("%s %s: %s"):format(
      tostring(call[1]), call[2], tostring(message)))
  end
end)

test("an exhausted budget stays exhausted", function()
  local _, message = pcall(native.work_charged, function()
    pcall(lv.zeros, 1 << 20)
    lv.zeros(1)
  end, 1 << 16)
  assert(tostring(message):find("max_work", 1, true), message)
  equal(lv.zeros(1):item(), 0)
end)

test("memory outside tensors counts", function()
  local function refused(f, memory)
    local _, message = pcall(native.work_charged, f, nil, memory)
    assert(tostring(message):find("not enough memory", 1, true), tostring(message))
  end
  local x = lv.zeros(1):expand(1 << 20)
  refused(function() return x:to "u8"[x:to "u8":eq(0)] end, 7 << 20)
  refused(function() return lv.zeros(512, 512):rfft2() end, 4 << 20)
  refused(function() return lv.position_encoding({ 1 }, lv.zeros(1 << 18)) end, 3 << 20)
  refused(function() return lv.zeros(1, 256, 1, 1):conv2d(lv.zeros(4096, 256, 1, 1)):sum() end,
    8 << 20)
end)
