-- The level of the format that a program in a file needs: the names that programs may use, by the
-- first level whose readers all have them. A reader of a lower level rejects the file with that
-- number, instead of failing inside the program.
--
-- A new name gets a level above those of released programs, and `Container.level` is raised with
-- it. Tokens do not show everything: indexing (`x[i]`, `x[mask]`), division (`//`, `%`), forms of
-- arguments (`clamp(0, 1)`), and options passed in a variable are not detected.
local native <const> = require "lunerv.native"

local required_level <const> = {}

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

-- Names by where programs have them, and by level.
required_level.names = {
  -- Functions of lv; operators are methods of tensors as well.
  lv = {
    [1] = words [[
      abs add amax amin arange avg_pool2d cat clamp clone conv2d cos detach dim div eq erf evaluate
      exp expand floor full gather ge gelu gt index_select instance_norm is_finite item layer_norm
      le linear log lt matmul maximum mean minimum mul ne neg numel ones options pad permute
      pixel_shuffle pixel_unshuffle position_encoding pow rand randn reciprocal relu rfft2 round
      rsqrt select sigmoid sign silu sin size slice softmax sqrt square squeeze stack sub sum tanh
      tensor to tolist transpose unsqueeze var view where zeros
    ]],
    [3] = words [[
      eye flatten floor_divide full_like linspace ones_like rand_like randn_like remainder reshape
      std zeros_like
    ]],
    [4] = words [[
      adaptive_avg_pool2d argmax argmin argsort atan2 batch_norm bmm checkpoint cholesky conv3d
      conv_transpose2d cumsum eigh einsum expm1 flip func grid_sample group_norm hardswish
      index_add interpolate irfft2 leaky_relu log1p log2 logsumexp max_pool2d meshgrid one_hot
      outer qr rms_norm roll scatter scatter_add softplus solve sort straight_through topk tril
      triu unique
    ]],
  },
  nn = {
    [1] = words [[
      Attention Boosted Conv2d ConvNeXt ConvNeXtBlock LayerNorm Linear List MLP NeRVBlock
      NormAffine PositionEncoding SNeRVBlock Sequential TAT TATResidual Transformer TwoConvBlock
      activation boost class out_image parameter
    ]],
    [3] = words "GELU Identity ReLU SiLU Sigmoid Sin Tanh",
    [4] = words [[
      AdaptiveAvgPool2d AvgPool2d BatchNorm2d Conv3d ConvTranspose2d Dropout GroupNorm MaskedConv2d
      MaxPool2d RMSNorm StaticMap Upsample reparametrise with_parameters
    ]],
  },
  -- Only methods.
  tensor = {
    [1] = words [[
      add_ backward codes copy_ fill_ gaussian_bits freq_loss l1_loss ms_ssim mse_loss mul_ normal_
      quantise round_straight ssim trunc_normal_ uniform_ zero_
    ]],
    [3] = words "clamp_ contiguous div_ max min sub_ t",
    [4] = words "dropout register_hook",
  },
  module = {
    [1] = words [[
      load_state_dict modules named_parameters observe parameter_count parameters replace state_dict
    ]],
    [3] = words "apply children clone load named_children named_modules save to",
  },
}

-- Options that operators and classes got later.
required_level.options = {
  Conv2d = { dilation = 4 }, conv2d = { dilation = 4 },
  pad = { mode = 4, value = 4 },
  amax = { dim = 3, keepdim = 3 }, amin = { dim = 3, keepdim = 3 }, mean = { dim = 3, keepdim = 3 },
  sum = { dim = 3, keepdim = 3 }, var = { dim = 3, keepdim = 3 },
}

-- The lowest level of names that several kinds of objects have: tokens do not show which is meant.
local function by_name(...)
  local levels = {}
  for _, list in ipairs { ... } do
    for level, names in pairs(list) do
      for _, name in ipairs(names) do
        levels[name] = math.min(levels[name] or level, level)
      end
    end
  end
  return levels
end

local fields <const> = by_name(required_level.names.lv)
local classes <const> = by_name(required_level.names.nn)
local methods <const> = by_name(required_level.names.lv, required_level.names.tensor,
  required_level.names.module)

-- Tokens --------------------------------------------------------------------------------------

-- The end of a string that begins at `at` with a quote.
local function end_of_string(source, at)
  local quote, i = source:sub(at, at), at + 1
  while i <= #source do
    local c = source:sub(i, i)
    if c == "\\" then i = i + 1 elseif c == quote then return i end
    i = i + 1
  end
  return #source
end

-- Lists of kinds ("name", "text" of a string, or the sign itself) and of texts.
local function tokens_of(source)
  local kinds, texts, at = {}, {}, 1
  local function add(kind, text) kinds[#kinds + 1], texts[#texts + 1] = kind, text end
  while true do
    at = source:find("%S", at)
    if not at then return kinds, texts end
    local comment = source:match("^%-%-()", at)
    local level = source:match("^%[(=*)%[", comment or at)
    if level then
      local first = (comment or at) + #level + 2
      local last = source:find("]" .. level .. "]", first, true) or #source
      if not comment then add("text", source:sub(first, last - 1)) end
      at = last + #level + 2
    elseif comment then
      at = source:find("\n", at, true) or #source + 1
    elseif source:find("^[\"']", at) then
      local last = end_of_string(source, at)
      add("text", source:sub(at + 1, last - 1))
      at = last + 1
    else
      local name = source:match("^[%a_][%w_]*", at)
      -- Numbers are skipped, but "1e5" must not leave a name, nor "1..x" a dot.
      local number = not name and source:match("^%.?%d[%w%.]*", at)
      local sign = name or number or source:match("^%.%.%.?", at) or source:sub(at, at)
      add(name and "name" or number and "number" or sign, sign)
      at = at + #sign
    end
  end
end

-- What tokens use ------------------------------------------------------------------------------

-- Names of locals and globals for lv: `x = require "lunerv"`, with or without an attribute.
local function names_of_library(kinds, texts)
  local found = { lv = true }
  for i = 1, #kinds do
    local argument = kinds[i + 1] == "(" and i + 2 or i + 1
    if texts[i] == "require" and kinds[i] == "name" and kinds[argument] == "text"
      and texts[argument] == "lunerv"
    then
      local before = i - 2 -- then follows the sign '='
      if kinds[before] == ">" then before = before - 3 end
      if kinds[i - 1] == "=" and kinds[before] == "name" then found[texts[before]] = true end
    end
  end
  return found
end

-- Names of methods and fields that the sources give to their own classes.
local function names_of_their_own(kinds, texts, own)
  for i = 3, #kinds do
    local is_member = kinds[i] == "name" and (kinds[i - 1] == "." or kinds[i - 1] == ":")
    local is_defined = kinds[i + 1] == "=" and kinds[i + 2] ~= "="
      or kinds[i + 1] == "(" and texts[i - 3] == "function"
    if is_member and is_defined then own[texts[i]] = true end
  end
end

local opens <const> = { ["("] = true, ["{"] = true, ["["] = true }
local closes <const> = { [")"] = true, ["}"] = true, ["]"] = true }
local foreign <const> = { self = true, math = true, table = true, string = true }

-- Calls need(level, name) for each name of the library at token `i`; returns whether it is the
-- library's.
local function use(kinds, texts, i, library, own, need)
  local name, sign, base = texts[i], kinds[i - 1], texts[i - 2]
  local is_name, after = kinds[i] == "name", kinds[i + 1]
  if texts[i - 3] == "function" and kinds[i - 3] == "name" then return false end
  if kinds[i] == "text" and sign == "[" and after == "]" then
    is_name, sign, after = true, ".", kinds[i + 2] -- lv["topk"]
  end
  if is_name and sign == "." then
    local is_called = after == "(" or after == "{" or after == "text"
    local of_library = kinds[i - 2] == "name" and library[base]
      or is_called and not foreign[base]
    if of_library then need(fields[name], name) end
    local is_class = base == "nn" or base ~= "self" and name:find "^%u" ~= nil
    if is_class then need(classes[name], name) end
    return of_library or is_class
  elseif is_name and sign == ":" and not (base == "self" and own[name]) then
    need(methods[name], name)
    return true
  elseif kinds[i] == "{" and sign == "[" then
    -- A new table is not a key of a table, so this indexes a tensor.
    local indexed = kinds[i - 2]
    if indexed == "name" or indexed == ")" or indexed == "]" then need(3, "x[{ … }]") end
  end
  return false
end

local function scan(kinds, texts, own, need)
  local library = names_of_library(kinds, texts)
  -- For each open bracket: the later options of the call that it belongs to, also for a table in
  -- its parentheses.
  local open, later = {}, nil
  for i = 1, #kinds do
    local kind = kinds[i]
    if use(kinds, texts, i, library, own, need) then
      later = required_level.options[texts[i]]
    elseif opens[kind] then
      local around = open[#open]
      local is_argument = kind == "{" and around and around.sign == "("
      open[#open + 1] = { sign = kind, later = later or is_argument and around.later or nil }
      later = nil
    elseif closes[kind] then
      open[#open] = nil
    else
      local around = open[#open]
      local is_key = kind == "name" and kinds[i + 1] == "=" and kinds[i + 2] ~= "="
      if is_key and around and around.sign == "{" and around.later then
        need(around.later[texts[i]], "option " .. texts[i])
      end
      later = nil
    end
  end
end

--- The level that readers of a program must support, and the name that requires it, nil for level
--- 1.
---
---@param sources string[]  of its modules
---@return integer
---@return string?
function required_level.of_program(sources)
  local level, cause, lists, own = 1, nil, {}, {}
  for k, source in ipairs(sources) do
    lists[k] = table.pack(tokens_of(source))
    names_of_their_own(lists[k][1], lists[k][2], own)
  end
  for _, list in ipairs(lists) do
    scan(list[1], list[2], own, function(needed, name)
      if needed and needed > level then level, cause = needed, name end
    end)
  end
  return level, cause
end

-- The levels that the versions of a library's decoder need.
local of_versions <const> = { ["2"] = 2, ["3"] = 4, ["4"] = 4 }

-- The level of a decoder by the section 'decoder'; a tree of classes names those of lv.nn.
local function level_of_decoder(text)
  local level = of_versions[text:match "^[%w_]+@(%d+){"] or 1
  for name in text:gmatch '"lunerv%.nn%.([%w_]+)"' do
    level = math.max(level, classes[name] or 1)
  end
  return level
end

-- The level that readers of these sections, given by name, must support, apart from their forms.
function required_level.of_sections(names, payloads)
  local level = 1
  for i, name in ipairs(names) do
    if name == "decoder" or name == "ordered decoder" then
      level = math.max(level, level_of_decoder(payloads[i]))
    elseif name == "decoder program" then
      -- Unreadable sections are reported when they are decoded.
      local ok, _, sources = pcall(native.lnv_read_program, payloads[i])
      if ok then level = math.max(level, (required_level.of_program(sources))) end
    end
  end
  return level
end

return required_level
