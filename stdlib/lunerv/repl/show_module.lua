-- Modules as a tree: what is in them, in order of assignment, with shapes and counts of parameters.
local native <const> = require "lunerv.native"
local ORDER <const> = require "lunerv.nn.order"
local text <const> = require "lunerv.repl.text"

-- More entries of one module are left out, and so are deeper ones.
local most <const>, deepest <const> = 60, 12

local module <const> = {}

-- Whether a value is an object of an nn.class.
function module.is(value) return type(value) == "table" and rawget(value, ORDER) ~= nil end

local function is_tensor(value) return type(value) == "userdata" and native.is_tensor(value) end

local function is_parameter(tensor) return tensor.requires_grad and tensor.is_leaf end

-- Trained values of a module and those inside it, shared ones once.
local function count(value, seen)
  if seen[value] then return 0 end
  seen[value] = true
  if is_tensor(value) then return is_parameter(value) and native.numel(value) or 0 end
  local total = 0
  for _, key in ipairs(value[ORDER]) do
    local field = rawget(value, key)
    if is_tensor(field) or module.is(field) then total = total + count(field, seen) end
  end
  return total
end

local function class_of(value)
  return native.printable(tostring(value.class_name))
end

-- "Conv2d  216"
function module.title(value)
  return ("%s (%s parameters)"):format(class_of(value), text.grouped(count(value, {})))
end

local function add(lines, left, right) lines[#lines + 1] = { left, right } end

local function walk(value, name, indent, lines, open, seen)
  local label = name .. class_of(value)
  if open[value] then return add(lines, indent .. label .. " (again: it holds itself)", "") end
  if seen[value] then return add(lines, indent .. label .. " (shared, counted above)", "") end
  if #indent // 2 > deepest then return add(lines, indent .. label .. " …", "") end
  add(lines, indent .. label, text.grouped(count(value, {})))
  open[value], seen[value] = true, true
  local shown = 0
  local order = value[ORDER]
  for _, key in ipairs(order) do
    local field = rawget(value, key)
    local inner = math.type(key) and ("[%d] "):format(key)
      or native.printable(tostring(key)) .. " "
    if shown == most then
      add(lines, indent .. "  …", "")
      break
    elseif is_tensor(field) then
      shown = shown + 1
      local kind = is_parameter(field) and text.grouped(native.numel(field)) or "not trained"
      add(lines, ("%s  %s%s"):format(indent, inner, text.shape(field.shape)), kind)
    elseif module.is(field) then
      shown = shown + 1
      walk(field, inner, indent .. "  ", lines, open, seen)
    end
  end
  open[value] = nil
end

-- The lines of a module's tree, and the total.
function module.lines(value, width)
  local entries, lines = {}, {}
  walk(value, "", "", entries, {}, {})
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
  return lines, ("%s parameters"):format(text.grouped(count(value, {})))
end

return module
