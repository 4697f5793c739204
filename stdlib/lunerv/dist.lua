-- lv.dist: the ranks, that is, the processes that one mpirun started.
--
--   mpirun -n 4 lunerv run train.lua
--
--   local dist = lv.dist
--   for step = 1, steps do
--     local frame = clip:sample(order[(step - 1) * dist.size() + dist.rank() + 1])
--     loss_of(model, frame):backward()
--     dist.sum_gradients(model:parameters())
--     optimiser:step()
--   end
--
-- Every rank runs the whole script. lv.train already does the above. Without mpirun there is one
-- rank, and these functions return their argument or do nothing.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local pieces <const> = require "lunerv.pieces"

local dist <const> = {}

-- Read once: in a loop over a queue, native.ranks() is 0 and 1, so that lv.train trains alone.
local own_rank <const>, own_size <const> = native.ranks()

-- Raises in a loop over a queue, where the other ranks do not make the same call.
local function expect_all(what)
  if own_size > 1 and select(2, native.ranks()) == 1 then
    errors.raise("dist.%s: expected a call outside of a loop over dist.queue, in which each rank "
      .. "has an item of its own", what)
  end
end

--- The rank of this process, from 0.
---
---     if lv.dist.rank() == 0 then print "begun" end
---
---@return integer
function dist.rank() return own_rank end

--- The number of ranks.
---
---     print(lv.dist.size())
---
---@return integer
function dist.size() return own_size end

--- Sets how many seconds (60) the ranks wait for a late one, in addition to the longest step so
--- far. After that, all end with an error that names it.
---
---     lv.dist.set_deadline(10)
---
---@param seconds number
function dist.set_deadline(seconds) native.set_rank_deadline(seconds) end

--- Waits until every rank has called it. A rank that does not within the deadline is an error.
---
---     lv.dist.barrier()
function dist.barrier()
  expect_all "barrier"
  native.ranks_gather("", "barrier")
end

-- Values -----------------------------------------------------------------------------------

-- A value as bytes. A tensor is sent separately: then its description, and the tensor.
local function pack(what, value)
  if native.is_tensor(value) then
    return native.json_encode { kind = "tensor", dtype = value.dtype, shape = value.shape }, value
  elseif type(value) == "string" then
    return native.json_encode { kind = "string" } .. "\n" .. value
  end
  local ok, text = errors.attempt(native.json_encode, { kind = "data", value = value })
  if not ok then
    errors.raise("dist.%s: expected a tensor, a string or plain data, got %s", what,
      errors.type_of(value))
  end
  return text
end

-- The value that rank `root` packed.
local function unpack_from(what, root, text, own)
  local head, rest = text:match "^([^\n]*)\n(.*)$"
  local packed = native.json_decode(head or text)
  if packed.kind == "string" then return rest end
  if packed.kind == "data" then return packed.value end
  local shape = {}
  for i, size in ipairs(packed.shape) do shape[i] = math.tointeger(size) end
  return native.ranks_broadcast(own, shape, packed.dtype, root, what)
end

--- The values of all ranks, on every rank: list[1] is rank 0's.
---
---     for i, psnr in ipairs(lv.dist.gather(psnr)) do print("rank " .. i - 1, psnr) end
---
---@param value any  a tensor, a string, or plain data (nil, booleans, numbers and tables of them)
---@return table
function dist.gather(value)
  expect_all "gather"
  local rank, size = native.ranks()
  if size == 1 then return { value } end
  local text, tensor = pack("gather", value)
  local list = {}
  for i, packed in ipairs(native.ranks_gather(text, "gather")) do
    list[i] = unpack_from("gather", i - 1, packed, i - 1 == rank and tensor or nil)
  end
  return list
end

--- The value of rank `root`, on every rank; the other ranks' arguments are ignored.
---
---     local seed = lv.dist.broadcast(os.time())
---
---@param value any  as for gather
---@param root? integer  (0)
---@return any
function dist.broadcast(value, root)
  expect_all "broadcast"
  local rank, size = native.ranks()
  root = root or 0
  if math.type(root) ~= "integer" or root < 0 or root >= size then
    errors.raise("dist.broadcast: root: expected a rank from 0 to %d, got %s", size - 1,
      errors.show(root))
  end
  if size == 1 then return value end
  local text, tensor = "", nil
  if rank == root then text, tensor = pack("broadcast", value) end
  local packed = native.ranks_gather(text, "broadcast")[root + 1]
  return unpack_from("broadcast", root, packed, tensor)
end

-- Sums -------------------------------------------------------------------------------------

--- The sum over all ranks, on every rank: of a number, of a tensor, or of each tensor of a list.
--- Shapes and dtypes (f32, f64, i32) must be the same on every rank.
--- The terms are added in the order of the ranks, so every rank gets the same bits.
---
---     local frames = lv.dist.sum(#mine)
---
---@param x number|lunerv.Tensor|lunerv.Tensor[]
---@return number|lunerv.Tensor|lunerv.Tensor[]
function dist.sum(x)
  expect_all "sum"
  if type(x) == "number" then
    local total = native.ranks_sum({ native.tensor({ x }, { dtype = "f64" }) }, "sum")[1]:item()
    return math.type(x) == "integer" and math.tointeger(total) or total
  elseif native.is_tensor(x) then
    return native.ranks_sum({ x }, "sum")[1]
  elseif type(x) ~= "table" then
    errors.raise("dist.sum: expected a number, a tensor or a list of tensors, got %s",
      errors.type_of(x))
  end
  return native.ranks_sum(x, "sum")
end

--- Replaces each parameter's `grad` by its sum over all ranks, so that every rank makes the same
--- step.
---
---     loss:backward()
---     lv.dist.sum_gradients(model:parameters())
---     optimiser:step()
---
---@param parameters lunerv.Tensor[]
function dist.sum_gradients(parameters)
  expect_all "sum_gradients"
  local rank, size = native.ranks()
  if size == 1 then return end
  local owners = {}
  for i in ipairs(parameters) do owners[i] = (i - 1) % size end
  local exchange <const> = native.gradient_exchange(parameters, owners)
  exchange:begin(size)
  exchange:take(rank + 1)
  exchange:finish(true)
end

-- Queues -----------------------------------------------------------------------------------

local takes_queue <const> = options.takes("dist.queue", {
  { "folder", nil, "a folder that all processes can write, a new one for each queue; required if "
    .. "there are several ranks", type = "string" },
  { "deadline", 60, "seconds after which a process that makes no progress loses its item" },
})

--- Distributes the items of a list over several processes: an iterator over the items that this
--- process gets.
--- An item is done when its process asks for the next one; the loops end when all items are done.
--- If a process dies or hangs, another one gets its item. The folder records which items are done,
--- so processes may start and stop at any time, as ranks of mpirun or as jobs of a scheduler.
--- In the loop, each rank works independently: lv.train trains in this process alone, and functions
--- that all ranks must call together raise an error.
---
---     for path in lv.dist.queue(paths, { folder = "runs/queue" }) do compress(path) end
---
---@param items any[]
---@param options? lunerv.dist.queue.Options
---@return fun(): any, integer  the item, and its number in the list
function dist.queue(items, given)
  errors.check_list("dist.queue: items", items)
  local o = takes_queue(given)
  if not o.folder then
    if dist.size() > 1 then
      errors.raise "dist.queue: folder: expected a folder that all ranks see, got none"
    end
    local i = 0
    return function()
      i = i + 1
      if i <= #items then return items[i], i end
    end
  end
  if not (type(o.deadline) == "number" and o.deadline > 0) then
    errors.raise("dist.queue: deadline: expected seconds above 0, got %s", errors.show(o.deadline))
  end
  native.make_dirs(o.folder)
  local names, done = {}, {}
  for i in ipairs(items) do names[i] = ("%06d"):format(i) end
  local function path_of(i) return ("%s/%s.done"):format(o.folder, names[i]) end
  local shared <const> = pieces.open(o.folder, o.deadline, names, function(i)
    done[i] = done[i] or native.exists(path_of(i))
    return done[i]
  end)
  local next_one, _, _, guard = shared:each(function(i)
    errors.must(native.write_file(path_of(i), "done\n"))
  end)
  return function()
    native.set_ranks_alone(false)
    local i = next_one()
    if not i then return nil end
    native.set_ranks_alone(true)
    return items[i], i
  end, nil, nil, setmetatable({}, { __close = function()
    local _ <close> = guard
    native.set_ranks_alone(false)
  end })
end

return errors.refuse_unknown(dist, "lv.dist")
