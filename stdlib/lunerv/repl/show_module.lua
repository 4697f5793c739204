-- Modules as a tree, in order of assignment, with shapes and parameter counts.
local digits <const> = require "lunerv.digits"
local native <const> = require "lunerv.native"
local text <const> = require "lunerv.repl.text"
local tree <const> = require "lunerv.nn.tree"

-- Entries of a module beyond `most`, and levels beyond `deepest`, are left out.
local most <const>, deepest <const> = 60, 12

local module <const> = {}

module.is = tree.is_module

-- Trained values of a module and those inside it, shared ones counted once. Tensors in a plain
-- table, which Module:parameter_count rejects, are shown too.
local function count(value)
  local total = 0
  for _, entry in ipairs(tree.tensors(value, tree.is_parameter)) do
    total = total + native.numel(entry[2])
  end
  return digits(total)
end

local function class_of(value)
  return native.printable(tostring(value.class_name))
end

-- "Conv2d (216 parameters)"
function module.title(value)
  return ("%s (%s parameters)"):format(class_of(value), count(value))
end

local function add(lines, left, right) lines[#lines + 1] = { left, right } end

local function traverse(value, name, indent, lines, open, seen)
  local label = name .. class_of(value)
  if open[value] then return add(lines, indent .. label .. " (again: it holds itself)", "") end
  if seen[value] then return add(lines, indent .. label .. " (shared, counted above)", "") end
  if #indent // 2 > deepest then return add(lines, indent .. label .. " …", "") end
  add(lines, indent .. label, count(value))
  open[value], seen[value] = true, true
  local shown = 0
  for _, key in ipairs(value[tree.ORDER]) do
    local field = rawget(value, key)
    local inner = math.type(key) and ("[%d] "):format(key)
      or native.printable(tostring(key)) .. " "
    if shown == most then
      add(lines, indent .. "  …", "")
      break
    elseif tree.is_tensor(field) then
      shown = shown + 1
      local kind = tree.is_parameter(field) and digits(native.numel(field)) or "not trained"
      add(lines, ("%s  %s%s"):format(indent, inner, text.shape(field.shape)), kind)
    elseif module.is(field) then
      shown = shown + 1
      traverse(field, inner, indent .. "  ", lines, open, seen)
    end
  end
  open[value] = nil
end

-- The lines of a module's tree, and the total.
function module.lines(value, width)
  local entries, lines = {}, {}
  traverse(value, "", "", entries, {}, {})
  local left, right = 0, 0
  for _, entry in ipairs(entries) do
    left = math.max(left, text.width(entry[1]))
    right = math.max(right, #entry[2])
  end
  left = math.max(math.min(left, width - right - 2), 0)
  for i, entry in ipairs(entries) do
    local room = left - text.width(entry[1])
    lines[i] = room >= 0
      and entry[1] .. (" "):rep(room + 2 + right - #entry[2]) .. entry[2]
      or entry[1] .. "  " .. entry[2]
    lines[i] = lines[i]:gsub(" +$", "")
  end
  return lines, ("%s parameters"):format(count(value))
end

return module
