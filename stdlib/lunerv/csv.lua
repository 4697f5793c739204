-- lv.csv: tables as comma-separated values (RFC 4180), which spreadsheets and plotting programs
-- read.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local csv <const> = {}

local function cell(value)
  local text = value == nil and "" or tostring(value)
  return text:find "[\",\r\n]" and '"' .. text:gsub('"', '""') .. '"' or text
end

--- The text of a table of values: a line with the names of the columns, then a line for each row.
---
---     io.write(lv.csv.encode({ { step = 1, psnr = 20.5 } }, { "step", "psnr" }))
---
---@param rows table[]  values by column name; missing values stay empty
---@param columns? string[]  the columns in order (all names in the rows, sorted)
---@return string
function csv.encode(rows, columns)
  errors.check_list("csv: rows", rows)
  if not columns then
    local seen = {}
    columns = {}
    for _, row in ipairs(rows) do
      for name in pairs(row) do
        if type(name) ~= "string" then
          errors.raise("csv: expected rows with values by name, got the key %s", tostring(name))
        end
        if not seen[name] then seen[name], columns[#columns + 1] = true, name end
      end
    end
    table.sort(columns)
  end
  local names, lines = {}, {}
  for k, name in ipairs(columns) do names[k] = cell(name) end
  lines[1] = table.concat(names, ",")
  for i, row in ipairs(rows) do
    local cells = {}
    for k, name in ipairs(columns) do cells[k] = cell(row[name]) end
    lines[i + 1] = table.concat(cells, ",")
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Writes a table of values to a file, atomically; true, or nil and an error.
---
---     assert(lv.csv.write("curve.csv", { { step = 1, psnr = 20.5 } }, { "step", "psnr" }))
---
---@param path string
---@param rows table[]  as for csv.encode
---@param columns? string[]  as for csv.encode
---@return boolean?
---@return lunerv.Error?
function csv.write(path, rows, columns)
  return native.write_file(path, csv.encode(rows, columns))
end

-- The lines of a text, each a list of cells. Quotes hold commas, breaks and doubled quotes.
local function lines_of(text)
  local lines, cells, at = {}, {}, 1
  text = text:gsub("^\u{FEFF}", "")
  local function fail(what)
    local _, breaks = text:sub(1, at - 1):gsub("\r\n?", "\n"):gsub("\n", "")
    errors.data("line %d: %s", breaks + 1, what)
  end
  while at <= #text do
    local value
    if text:sub(at, at) == '"' then
      local parts = {}
      at = at + 1
      while true do
        local close = text:find('"', at, true)
        if not close then fail "a quote is not closed" end
        parts[#parts + 1] = text:sub(at, close - 1)
        at = close + 1
        if text:sub(at, at) ~= '"' then break end
        parts[#parts + 1] = '"'
        at = at + 1
      end
      value = table.concat(parts)
      if not text:find("^[,\r\n]", at) and at <= #text then
        fail "text after a closed quote"
      end
    else
      value, at = text:match("^([^,\r\n]*)()", at)
      value = tonumber(value) or value
    end
    cells[#cells + 1] = value
    local mark = text:sub(at, at)
    at = at + 1
    if mark == "," then
      if at > #text then cells[#cells + 1] = "" end
    else
      if mark == "\r" and text:sub(at, at) == "\n" then at = at + 1 end
      -- An empty line is not a row.
      if #cells > 1 or cells[1] ~= "" then lines[#lines + 1] = cells end
      cells = {}
    end
  end
  if #cells > 0 then lines[#lines + 1] = cells end
  return lines
end

--- The rows of a text whose first line names the columns.
---
--- Numbers are converted unless they are quoted; an empty cell is absent.
---
---     for _, row in ipairs(lv.csv.decode "step,psnr\n1,20.5\n") do print(row.step, row.psnr) end
---
---@param text string
---@return table[]  rows, values by column name
---@return string[]  the names of the columns in order
function csv.decode(text)
  if type(text) ~= "string" then
    errors.raise("csv.decode: expected a text, got %s", errors.type_of(text))
  end
  local lines = lines_of(text)
  local columns, rows = {}, {}
  for k, name in ipairs(lines[1] or {}) do columns[k] = tostring(name) end
  for i = 2, #lines do
    if #lines[i] ~= #columns then
      errors.data("row %d: expected %d cells, got %d", i - 1, #columns, #lines[i])
    end
    local row = {}
    for k, value in ipairs(lines[i]) do
      if value ~= "" then row[columns[k]] = value end
    end
    rows[i - 1] = row
  end
  return rows, columns
end

--- Reads a file of comma-separated values; nil and an error if that fails.
---
---     local rows = assert(lv.csv.read "curve.csv")
---
---@param path string
---@return table[]?  rows, as csv.decode gives them
---@return string[]|lunerv.Error  the names of the columns in order
function csv.read(path)
  local text, problem = native.read_file(path)
  if not text then return nil, problem end
  local ok, rows, columns = errors.attempt(csv.decode, text)
  if ok then return rows, columns end
  return nil, errors.new("data", path .. ": " .. errors.reason(rows))
end

return errors.refuse_unknown(csv, "lv.csv")
