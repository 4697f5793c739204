-- The result of lv.profile: the profiler's records, summed by module and by operator, and their
-- text.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local Report <const> = {}
Report.__index = Report
Report.__name = "profile"

-- Clearer names for some native functions.
local names <const> = {
  ["clip:frame"] = "reading frames", ["clip:frame_u8"] = "reading frames",
  ["clip:prefetch"] = "reading frames",
  ["optimiser:step"] = "optimiser step", [""] = "(outside of modules)",
}

-- Summing -------------------------------------------------------------------------------------

-- Control characters in a field's name would reach the terminal.
local function plain(text) return (text:gsub("[%c\x7f]", "?")) end

local function add(row, record)
  local direction = record.backward and "backward" or "forward"
  row.seconds = row.seconds + record.seconds
  row[direction] = row[direction] + record.seconds
  for _, name in ipairs { "flops", "calls", "chains", "links" } do
    row[name] = row[name] + record[name]
  end
end

-- The records by their field `key`, sorted by time.
local function summed(records, key)
  local list, by_name = {}, {}
  for _, record in ipairs(records) do
    local name = record[key]
    local row = by_name[name]
    if not row then
      row = { [key] = name, seconds = 0, forward = 0, backward = 0, flops = 0, calls = 0,
        chains = 0, links = 0, bytes = 0 }
      by_name[name], list[#list + 1] = row, row
    end
    add(row, record)
  end
  for _, row in ipairs(list) do row.gflops = row.flops / math.max(row.seconds, 1e-9) / 1e9 end
  table.sort(list, function(a, b)
    if a.seconds ~= b.seconds then return a.seconds > b.seconds end
    return a[key] < b[key]
  end)
  return list, by_name
end

local function new(facts, rows)
  for _, record in ipairs(facts.records) do
    record.path = plain(names[record.path] or record.path)
    record.operator = names[record.operator] or record.operator
  end
  local modules, by_path = summed(facts.records, "path")
  for path, bytes in pairs(facts.held) do
    local row = by_path[plain(names[path] or path)]
    if row then row.bytes = math.max(row.bytes, bytes) end
  end
  local operators, by_operator = summed(facts.records, "operator")
  return setmetatable({
    seconds = facts.seconds, records = facts.records, modules = modules, operators = operators,
    lua_seconds = by_operator.Lua and by_operator.Lua.seconds or 0,
    peak_bytes = facts.peak_bytes, peak_path = plain(names[facts.peak_path] or facts.peak_path),
    rows = rows,
  }, Report)
end

-- Text ----------------------------------------------------------------------------------------

local function bytes_text(bytes)
  for _, unit in ipairs { "B", "kB", "MB" } do
    if bytes < 1000 then return ("%.3g %s"):format(bytes, unit) end
    bytes = bytes / 1000
  end
  return ("%.3g GB"):format(bytes)
end

local function seconds_text(seconds)
  return (seconds < 100 and "%.4f" or "%.1f"):format(seconds)
end

-- The name in `room` columns; a long path keeps its last fields, which say more.
local function fitted(name, room)
  local length = utf8.len(name)
  if not length then
    name = name:gsub("[\x80-\xff]", "?")
    length = #name
  end
  if length > room then
    name = name:sub(utf8.offset(name, length - room + 2))
    name = "…" .. (name:match "^[^.]*%.(.+)$" or name)
    length = utf8.len(name)
  end
  return name .. (" "):rep(room - length)
end

local function operator_text(row)
  -- A share of chains this small comes from sums of gradients, not from the operator.
  local few = row.chains == 0 or 2 * row.chains < row.calls
  if few or row.links < 1.5 * row.chains then return row.operator end
  return ("%s (chains of %.0f)"):format(row.operator, row.links / row.chains)
end

local function table_text(report, lines, title, list, name_of, last, last_of)
  lines[#lines + 1] = ("%s%9s%7s%9s%9s%9s%8s"):format(fitted(title, 29), "seconds", "share",
    "forward", "backward", "GFLOP/s", last)
  for i = 1, math.min(#list, report.rows) do
    local row = list[i]
    lines[#lines + 1] = ("%s%9s%6.1f%%%9s%9s%9s%8s"):format(fitted(name_of(row), 29),
      seconds_text(row.seconds), 100 * row.seconds / report.seconds, seconds_text(row.forward),
      seconds_text(row.backward), row.flops > 0 and ("%.2f"):format(row.gflops) or "",
      last_of(row))
  end
  if #list > report.rows then
    local rest = 0
    for i = report.rows + 1, #list do rest = rest + list[i].seconds end
    lines[#lines + 1] = ("%s%9s%6.1f%%"):format(fitted(("%d more"):format(#list - report.rows), 29),
      seconds_text(rest), 100 * rest / report.seconds)
  end
  lines[#lines + 1] = ""
end

-- At most 80 columns.
function Report:__tostring()
  local lines = {
    ("profile: %s s, of which Lua itself %.1f %%"):format(seconds_text(self.seconds),
      100 * self.lua_seconds / self.seconds),
    fitted(("tensors at their peak: %s, in %s"):format(bytes_text(self.peak_bytes),
      self.peak_path), 80):gsub(" +$", ""),
    "",
  }
  table_text(self, lines, "by module", self.modules, function(row) return row.path end, "held",
    function(row) return row.bytes > 0 and bytes_text(row.bytes) or "" end)
  table_text(self, lines, "by operator", self.operators, operator_text, "calls",
    function(row) return ("%d"):format(row.calls) end)
  lines[#lines + 1] = "Time is charged to the module that called an operator, wherever its "
    .. "result is\nread. A chain of pointwise operators is charged where its last one was called;\n"
    .. "intermediate steps of a convolution or a sum are part of it.\n"
    .. "held: the peak size of the module's results."
  return table.concat(lines, "\n")
end

-- Files ---------------------------------------------------------------------------------------

-- All records as JSON.
function Report:json()
  return native.json_encode {
    seconds = self.seconds, lua_seconds = self.lua_seconds, peak_bytes = self.peak_bytes,
    peak_path = self.peak_path, modules = self.modules, operators = self.operators,
    records = self.records,
  } .. "\n"
end

-- The flame graph as the text of an SVG file.
function Report:svg() return require "lunerv.profile.flame"(self) end

-- Writes the flame graph (.svg) or all records (.json) to `path`, atomically. Returns true, or nil
-- and an error; another extension raises an error.
function Report:save(path)
  local ending = tostring(path):match "%.(%w+)$"
  if ending == "svg" then return native.write_file(path, self:svg()) end
  if ending == "json" then return native.write_file(path, self:json()) end
  errors.raise("save: expected a path that ends in .svg or .json, got '%s'", tostring(path))
end

return new
