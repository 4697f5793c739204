-- Tensors as rows of numbers, with long dimensions abbreviated, and a line of statistics.
local native <const> = require "lunerv.native"
local text <const> = require "lunerv.repl.text"

-- A dimension longer than `most` shows its first and last `edge` entries; of a stack of matrices
-- (an image or a batch) the first `matrices` are shown.
local most <const>, edge <const>, matrices <const> = 8, 3, 3

-- The rows and columns of a matrix that are shown: positions, with false for an omitted range.
local function positions(count, limit)
  local list = {}
  if count <= math.max(limit, 2) then
    for i = 1, count do list[i] = i end
    return list
  end
  local side = math.max(math.min(edge, (limit - 1) // 2), 1)
  for i = 1, side do list[i] = i end
  list[side + 1] = false
  for i = 1, side do list[side + 1 + i] = count - side + i end
  return list
end

local function is_special(value)
  return value ~= value or value == math.huge or value == -math.huge
end

local function special(value)
  return value ~= value and "nan" or value > 0 and "inf" or "-inf"
end

-- One format for all numbers of a tensor, so that columns line up.
local function format_of(numbers)
  local whole, largest, smallest = true, 0, math.huge
  for _, value in ipairs(numbers) do
    if not is_special(value) then
      local size = math.abs(value)
      if value ~= math.floor(value) then whole = false end
      if size > largest then largest = size end
      if size > 0 and size < smallest then smallest = size end
    end
  end
  if whole and largest < 1e9 then return "%.0f" end
  if largest >= 1e5 or largest < 1e-3 or smallest < 1e-4 and largest >= 1e4 then return "%.3e" end
  return largest >= 1000 and "%.2f" or "%.4f"
end

local function one(x, dtype)
  if dtype == "bool" then return x ~= 0 and "true" or "false" end
  return is_special(x) and special(x) or nil
end

-- The numbers of a matrix at some rows and columns, as strings: a list of lists.
local function cells(x, rows, columns)
  local found, numbers = {}, {}
  for i, row in ipairs(rows) do
    found[i] = {}
    if row then
      local line = native.select(x, 1, row)
      for j, column in ipairs(columns) do
        if column then
          local value = native.item(native.slice(line, 1, column, column))
          if value == true or value == false then value = value and 1 or 0 end
          found[i][j] = value
          numbers[#numbers + 1] = value
        end
      end
    end
  end
  return found, numbers
end

local function lines_of(x, width, indent, lines)
  local shape, dtype = x.shape, x.dtype
  local columns
  local rows = positions(shape[1], most)
  -- Fewer columns if the numbers are too wide.
  for _, limit in ipairs { most, 5, 3 } do
    columns = positions(shape[2], limit)
    local found, numbers = cells(x, rows, columns)
    local how, widest = format_of(numbers), 0
    for i = 1, #rows do
      for j = 1, #columns do
        local value = found[i][j]
        if value then
          found[i][j] = one(value, dtype) or how:format(value)
          widest = math.max(widest, #found[i][j])
        end
      end
    end
    if #indent + (widest + 2) * #columns - 2 <= width or limit == 3 then
      for i, row in ipairs(rows) do
        local line = {}
        for j, column in ipairs(columns) do
          local cell = row and column and found[i][j]
          line[j] = cell and (" "):rep(widest - #cell) .. cell or "…"
        end
        lines[#lines + 1] = row and indent .. table.concat(line, "  ") or indent .. "…"
      end
      return
    end
  end
end

-- The matrices of a tensor, each below its index.
local function matrices_of(x, width, lines)
  local shape = x.shape
  local outer, count = {}, 1
  for d = 1, #shape - 2 do
    outer[d] = shape[d]
    count = count * shape[d]
  end
  for n = 0, math.min(count, matrices) - 1 do
    local place, rest, matrix = {}, n, x
    for d = #outer, 1, -1 do
      place[d], rest = rest % outer[d] + 1, rest // outer[d]
    end
    for d = 1, #outer do matrix = native.select(matrix, 1, place[d]) end
    lines[#lines + 1] = "(" .. table.concat(place, ", ") .. ", :, :)"
    lines_of(matrix, width, "  ", lines)
  end
  if count > matrices then lines[#lines + 1] = ("… %d more"):format(count - matrices) end
end

local function number(value)
  if is_special(value) then return special(value) end
  return value == math.floor(value) and math.abs(value) < 1e9 and ("%.0f"):format(value)
    or ("%.5g"):format(value)
end

-- "f32 (3, 4)  min -1  max 2  mean 0.5"
local function about(x)
  local parts = { ("%s %s"):format(x.dtype, text.shape(x.shape)) }
  if native.numel(x) > 1 then
    local wide = (x.dtype == "f32" or x.dtype == "f64") and x or native.to(x, "f64")
    local function of(f) return number(native.item(f(wide))) end
    parts[2] = "min " .. of(native.amin)
    parts[3] = "max " .. of(native.amax)
    parts[4] = "mean " .. of(native.mean)
  end
  if x.requires_grad then
    parts[#parts + 1] = x.is_leaf and "requires_grad" or "on the tape"
  end
  return table.concat(parts, "  ")
end

-- The lines of a tensor, and its line of statistics. `width` is the terminal's width.
return function(tensor, width)
  local lines = {}
  native.no_grad(function()
    local x, shape = native.detach(tensor), tensor.shape
    if native.numel(x) == 0 then
      lines[1] = "no elements"
    elseif #shape > 2 then
      matrices_of(x, width, lines)
    else
      local rows = #shape == 2 and shape[1] or 1
      lines_of(native.view(x, rows, native.numel(x) // rows), width, "", lines)
    end
  end)
  local summary
  if native.numel(tensor) > 0 then
    native.no_grad(function() summary = about(tensor) end)
  else
    summary = ("%s %s"):format(tensor.dtype, text.shape(tensor.shape))
  end
  return lines, summary
end
