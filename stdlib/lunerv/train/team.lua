-- The ranks that train one model: this process alone, or all that mpirun started.
--
-- The frames of a step are distributed over the ranks. Every parameter has an owner, the rank that
-- sums its gradients, stores its optimiser state and updates it; then all ranks get the new values,
-- so that all have the same model. Where a decision depends on a value of one rank (a loss, a
-- request to stop, a clock), they exchange it, or take that of rank 0.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local optim <const> = require "lunerv.optim"

local Team <const> = {}
Team.__index = Team

-- Calls body(...), in which this process trains alone, independently of the other ranks.
function Team.apart(body, ...)
  local outer <const> = native.set_ranks_alone(true)
  local _ <close> = setmetatable({}, { __close = function() native.set_ranks_alone(outer) end })
  return body(...)
end

-- The owner of each parameter. The most expensive update goes first, each to the rank with the
-- least work so far. Muon multiplies a matrix by itself.
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

-- Whether the frames of a batch must be computed together, as for a normalisation over the batch.
local function is_joint(model)
  if model.takes_batches ~= nil then return model.takes_batches end
  for _, module in ipairs(model:modules()) do
    if module.takes_batches then return true end
  end
  return false
end

-- The team for a training's options `o`; the optimiser updates `parameters`.
function Team.of(o, optimiser, parameters)
  local rank, size = native.ranks()
  local groups = type(optimiser) == "userdata" and optim.groups(optimiser)
  local owned = parameters
  if groups then
    -- An optimiser numbers its states in this order: group by group.
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

-- Begins a step of `count` units, each a frame or a joint batch. Returns this rank's first and
-- last.
function Team:begin(count)
  self.exchange = self.exchange or native.gradient_exchange(self.owned, self.owners)
  return self.exchange:begin(count)
end

-- A to-be-closed value for a step, however it ends: discards gradients that are still on their way,
-- which the next step would otherwise receive.
function Team:ending()
  return setmetatable({}, { __close = function() pcall(self.exchange.drop, self.exchange) end })
end

-- This rank's first and last of `count` units. The parts of all ranks, in order, are all units.
function Team:part(count)
  local least, rest = count // self.size, count % self.size
  local first = self.rank * least + math.min(self.rank, rest) + 1
  return first, first + least - (self.rank < rest and 0 or 1)
end

-- Whether a step of `count` units sums gradients.
function Team:adds(count) return count > 1 or self.size > 1 end

-- Seeds the random numbers of unit `unit`: a function of the step's state and of that number alone.
function Team.own_numbers(base, unit)
  native.set_rng_state { seed = (base.seed ~ unit * 0x9E3779B97F4A7C15) & math.maxinteger,
    counter = base.counter }
end

-- Agreement ---------------------------------------------------------------------------------

-- The numbers that body() returns on all ranks, in the order of the ranks. If it fails on one rank,
-- all ranks end in this step, and can still save the state before it. `what` names the collective.
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

-- Whether any rank was asked to stop, and rank 0's `finished` and `is_due`.
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

-- Raises unless `facts`, plain data by name, are the same on all ranks.
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
      -- Machines may decode it with small differences.
      if prefix .. name == "options.first_frame" then a = b end
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

-- Sends the owners' optimiser states to every rank. `list` holds { name, tensor }; "m.3" is a state
-- of the third parameter.
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

-- The checkpoint that rank 0 found, or nil, on every rank.
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
  local sent = native.json_decode(native.ranks_gather(head, "checkpoint")[1])
  if not sent.path then return nil end
  local tensors = {}
  for _, entry in ipairs(sent.names) do
    local name, dtype, shape = table.unpack(entry)
    for i, size in ipairs(shape) do shape[i] = math.tointeger(size) end
    tensors[name] = native.ranks_broadcast(found and found.tensors[name], shape, dtype, 0,
      "checkpoint")
  end
  return { path = sent.path, state = found and found.state or sent.state, tensors = tensors }
end

return Team
