-- An entry as text for a terminal.
local text <const> = {}

-- `words` in lines of at most `width` columns, each after `indent`.
local function wrapped(words, width, indent)
  local lines, line = {}, ""
  for word in words:gmatch "%S+" do
    local longer = line == "" and word or line .. " " .. word
    if line ~= "" and utf8.len(longer) and utf8.len(longer) > width - #indent then
      lines[#lines + 1] = indent .. line
      line = word
    else
      line = longer
    end
  end
  if line ~= "" then lines[#lines + 1] = indent .. line end
  return lines
end

local function append(to, lines)
  for _, line in ipairs(lines) do to[#to + 1] = line end
end

-- "conv2d(x, weight, bias?, options?) → Tensor"
function text.signature(entry)
  local names = {}
  for i, parameter in ipairs(entry.parameters or {}) do
    names[i] = parameter.name .. (parameter.optional and "?" or "")
  end
  local results = {}
  for i, result in ipairs(entry.results or {}) do
    results[i] = result.type:gsub("lunerv%.", "")
  end
  local arrow = #results > 0 and " → " .. table.concat(results, ", ") or ""
  if entry.kind == "property" then return entry.path .. arrow:gsub("→", ":", 1) end
  if entry.kind == "type" then return entry.path end
  if entry.kind == "module" or entry.kind == "value" then return "lv." .. entry.path end
  local name = (entry.owner or entry.foreign) and entry.path or "lv." .. entry.path
  return ("%s(%s)%s"):format(name, table.concat(names, ", "), arrow)
end

-- A list of names with their types and descriptions, in columns.
local function rows(list, width, sign)
  local lines = {}
  for _, item in ipairs(list) do
    local kind = item.type:gsub("lunerv%.", "")
    local default = item.default and " = " .. item.default or ""
    lines[#lines + 1] = ("  %s%s: %s%s"):format(item.name, sign and item.optional and "?" or "",
      kind, default)
    append(lines, wrapped(item.doc or "", width, "      "))
  end
  return lines
end

-- The lines of an entry. `members` are the entries inside a module, or of an object.
function text.lines(entry, width, members)
  local lines = {}
  append(lines, wrapped(text.signature(entry), width, ""))
  if entry.summary ~= "" then append(lines, wrapped(entry.summary, width, "  ")) end
  for paragraph in (entry.text or ""):gmatch "[^\n]+" do
    append(lines, wrapped(paragraph, width, "  "))
  end
  local documented = {}
  for _, parameter in ipairs(entry.parameters or {}) do
    if parameter.doc ~= "" then documented[#documented + 1] = parameter end
  end
  if #documented > 0 then
    lines[#lines + 1] = ""
    append(lines, rows(documented, width, true))
  end
  if entry.options and #entry.options > 0 then
    append(lines, { "", "options:" })
    append(lines, rows(entry.options, width))
  end
  if entry.example then
    append(lines, { "", "example:" })
    for line in (entry.example .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = "  " .. line end
  end
  if members and #members > 0 then
    lines[#lines + 1] = ""
    for _, member in ipairs(members) do
      local name = text.signature(member):gsub("^lv%.", "")
      append(lines, wrapped(name, width, "  "))
      append(lines, wrapped(member.summary, width, "      "))
    end
  end
  return lines
end

return text
