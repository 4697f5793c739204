-- The ranks that train one model: this process alone, or those that mpirun started with it.
--
-- Frames of a step are shared out. Every parameter has an owner among the ranks, who adds up its
-- gradients, keeps the optimiser's state of it and makes its step; all ranks then get its values,
-- and hold the same model. What decides anything (a loss, a request to stop, a clock) is heard from
-- all, or from rank 0, before it does.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local optim <const> = require "lunerv.optim"

local Team <const> = {}
Team.__index = Team

-- body(...), in which this process trains alone: the other ranks have work of their own.
function Team.apart(body, ...)
  local outer <const> = native.set_ranks_apart(true)
  local _ <close> = setmetatable({}, { __close = function() native.set_ranks_apart(outer) end })
  return body(...)
end

-- The rank that owns each parameter: those that take long to update first, each to whom has least
-- to do. A matrix is multiplied with itself in its update.
local function owners_of(parameters, size)
  local costs, order, load, owners = {}, {}, {}, {}
  for i, parameter in ipairs(parameters) do
    local shape, count = parameter.shape, parameter:numel()
    local rows = #shape >= 2 and shape[1] or 1
    costs[i], order[i] = count * (1 + math.min(rows, count // rows) / 16), i
  end
  table.sort(order, function(a, b)
    if costs[a] ~= costs[b] then return costs[a] > costs[b] end
    return a < b
  end)
  for rank = 0, size - 1 do load[rank] = 0 end
  for _, i in ipairs(order) do
    local least = 0
    for rank = 1, size - 1 do
      if load[rank] < load[least] then least = rank end
    end
    load[least], owners[i] = load[least] + costs[i], least
  end
  return owners
end

-- Whether the frames of a batch are computed together: a normalisation over the batch needs that.
local function is_joint(model)
  if model.takes_batches ~= nil then return model.takes_batches end
  for _, module in ipairs(model:modules()) do
    if module.takes_batches then return true end
  end
  return false
end

-- Those of a training's options `o`; `parameters` is what its optimiser updates.
function Team.of(o, optimiser, parameters)
  local rank, size = native.ranks()
  local groups = type(optimiser) == "userdata" and optim.groups(optimiser)
  local owned = parameters
  if groups then
    -- States are numbered as the parameters of all groups, one after another.
    owned = {}
    for _, group in ipairs(groups) do
      table.move(group.params, 1, #group.params, #owned + 1, owned)
    end
  end
  local self = setmetatable({
    rank = rank, size = size, is_joint = is_joint(o.model), owned = owned,
    owners = owners_of(owned, size), everywhere = not groups, has_out = o.out ~= nil,
  }, Team)
  if size == 1 then return self end
  if self.is_joint then
    errors.raise("train: %s computes the frames of a batch together, which one rank alone can do: "
      .. "start it without mpirun, or set its takes_batches to false", o.model.class_name)
  elseif o.model.learns_in_order then
    errors.raise("train: %s learns its frames one after another, which one rank alone can do: "
      .. "start it without mpirun", o.model.class_name)
  end
  return self
end

-- Frames ------------------------------------------------------------------------------------

-- Begins a step of `count` units, a frame or a joint batch each; the first and last of this rank's.
function Team:begin(count)
  self.exchange = self.exchange or native.gradient_exchange(self.owned, self.owners)
  return self.exchange:begin(count)
end

-- To be closed at the end of a step on all ranks, however it ends: takes gradients that are under
-- way, or the next step would take them for its own.
function Team:ending()
  return setmetatable({}, { __close = function() pcall(self.exchange.drop, self.exchange) end })
end

-- The first and last of `count` units that are this rank's; the parts of all ranks, in order, are
-- all of them.
function Team:part(count)
  local least, rest = count // self.size, count % self.size
  local first = self.rank * least + math.min(self.rank, rest) + 1
  return first, first + least - (self.rank < rest and 0 or 1)
end

-- Whether a step of `count` units adds gradients up.
function Team:adds(count) return count > 1 or self.size > 1 end

-- Random numbers of unit `unit` of a step: a function of the step's and of that alone.
function Team.own_numbers(base, unit)
  native.set_rng_state { seed = (base.seed ~ unit * 0x9E3779B97F4A7C15) & math.maxinteger,
    counter = base.counter }
end

-- Agreement ---------------------------------------------------------------------------------

-- body()'s list of numbers, and then those of all ranks, in order. A rank where it fails ends
-- all, in the same step: what was true before it can still be saved. `what` names the collective.
function Team:agree(body, what)
  local results = table.pack(pcall(body))
  if not results[1] and native.ranks_broken() then error(results[2], 0) end
  local text
  if results[1] then
    local list = results[2]
    text = string.pack("<I1", 0) .. string.pack("<" .. ("d"):rep(#list), table.unpack(list))
  else
    local kind = bridge.is_error(results[2]) and results[2].kind or "script"
    text = string.pack("<I1s4s4", 1, kind, errors.reason(results[2]))
  end
  local all, failed = {}, nil
  for i, bytes in ipairs(native.ranks_gather(text, what)) do
    if bytes:byte(1) == 1 then
      local _, kind, message = string.unpack("<I1s4s4", bytes)
      failed = failed or { rank = i - 1, kind = kind, message = message }
    else
      for k = 1, (#bytes - 1) // 8 do
        all[#all + 1] = (string.unpack("<d", bytes, 8 * k - 6))
      end
    end
  end
  if failed then
    self.agreed = true
    if not results[1] then error(results[2], 0) end
    local known = failed.kind == "usage" or failed.kind == "io" or failed.kind == "data"
      or failed.kind == "numeric"
    errors.fail(known and failed.kind or "data", "%s: %s", native.rank_name(failed.rank),
      failed.message)
  end
  return all
end

-- Whether any rank was asked to stop, and what rank 0 says of `finished` and `is_due`.
function Team:settle(finished, is_due)
  if self.size == 1 then return false, finished, is_due end
  local flags = (bridge.interrupted() and 1 or 0) + (finished and 2 or 0) + (is_due and 4 or 0)
  local stops, first = false, nil
  for i, bytes in ipairs(native.ranks_gather(string.char(flags), "end of a step")) do
    local byte = bytes:byte(1)
    if i == 1 then first = byte end
    stops = stops or byte & 1 == 1
  end
  if stops then self.agreed = true end
  return stops, first & 2 == 2, first & 4 == 4
end

-- One turn of the training loop. Ctrl-C waits until it is over: ranks stop between two steps.
function Team:turn(body, ...)
  if self.size == 1 then return body(...) end
  return bridge.shield(body, ...)
end

-- Raises unless all ranks are asked for the same: `facts` is plain data by name.
function Team:compare(facts)
  if self.size == 1 then return end
  local versions = native.versions()
  facts = { options = facts, lunerv = versions.lunerv, ["instruction set"] = versions.march,
    api = versions.api }
  local lists = {}
  for i, text in ipairs(native.ranks_gather(native.json_encode(facts), "options")) do
    lists[i] = native.json_decode(text)
  end
  local function show(value) return value == nil and "not given" or errors.show(value) end
  local function differ(name, i, a, b)
    errors.fail("usage", "train: ranks differ: %s is %s on %s, but %s on %s", name, show(a),
      native.rank_name(0), show(b), native.rank_name(i - 1))
  end
  local function check(i, first, other, prefix)
    local names = {}
    for name in pairs(first) do names[name] = true end
    for name in pairs(other) do names[name] = true end
    local sorted = {}
    for name in pairs(names) do sorted[#sorted + 1] = name end
    table.sort(sorted)
    for _, name in ipairs(sorted) do
      local a, b = first[name], other[name]
      if type(a) == "table" and type(b) == "table" then
        check(i, a, b, prefix .. name .. ".")
      elseif a ~= b then
        differ(prefix .. name, i, a, b)
      end
    end
  end
  for i = 2, #lists do check(i, lists[1], lists[i], "") end
end

-- Tensors -----------------------------------------------------------------------------------

-- Gives every rank what the owners have, of { name, tensor } each: an optimiser's states, "m.3" of
-- the third parameter, by themselves or in copies.
function Team:collect(list)
  if self.size == 1 then return end
  for _, entry in ipairs(list) do
    local name, tensor = entry[1], entry[2]
    local number = name:match "optimiser/%a+%.(%d+)$"
    local owner = number and self.owners[math.tointeger(number)]
    if owner and not self.everywhere then
      local theirs = native.ranks_broadcast(owner == self.rank and tensor or nil, tensor.shape,
        tensor.dtype, owner, "checkpoint")
      if owner ~= self.rank then native.no_grad(function() tensor:copy_(theirs) end) end
    end
  end
end

-- The checkpoint that rank 0 has found, or nil; every rank gets it.
function Team:share_checkpoint(found)
  if self.size == 1 then return found end
  local names = {}
  if found then
    for name, tensor in pairs(found.tensors) do
      names[#names + 1] = { name, tensor.dtype, tensor.shape }
    end
    table.sort(names, function(a, b) return a[1] < b[1] end)
  end
  local head = self.rank == 0
    and native.json_encode { names = names, path = found and found.path or nil,
      state = found and found.state or nil } or ""
  local told = native.json_decode(native.ranks_gather(head, "checkpoint")[1])
  if not told.path then return nil end
  local tensors = {}
  for _, entry in ipairs(told.names) do
    local name, dtype, shape = table.unpack(entry)
    for i, size in ipairs(shape) do shape[i] = math.tointeger(size) end
    tensors[name] = native.ranks_broadcast(found and found.tensors[name], shape, dtype, 0,
      "checkpoint")
  end
  return { path = told.path, state = found and found.state or told.state, tensors = tensors }
end

return Team
