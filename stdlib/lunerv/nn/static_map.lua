-- A trained map that all frames share.
local class <const> = require "lunerv.nn.class"
local Conv2d <const> = require "lunerv.nn.conv2d"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.StaticMap", {
  { "dim", 3, "channels of the trained map" },
  { "height", nil, "rows of the block's map", type = "integer" },
  { "width", nil, "columns of the block's map", type = "integer" },
  { "knots", 0, "positions on the window's path over the trained map; 0: the window is fixed" },
  { "reach", { 0, 0 }, "rows and columns by which the trained map exceeds the block's, { y, x }" },
  { "path", nil, "initial path: `knots` pairs { y, x } in cells (the middle)", type = "table" },
})

-- Lobes of the Lanczos kernel on each side. With 3, PSNR is 0.3 dB lower
-- (stdlib/docs/experiments.md).
local lobes <const> = 6

-- Small against the map it is added to, but large enough for its own gradients.
local spread <const> = 0.1

--- Any block that makes a map, plus a trained map of few channels, mixed by a convolution.
--- Convolutions compute the same function at every position: positions differ only by the
--- embedding, whose grid is coarse. The trained map has separate values for every position, shared
--- by all frames, like the static codes of DS-NeRV (arXiv 2403.15679).
---
---     local block = nn.StaticMap(nn.NeRVBlock(32, 16), 16, { dim = 3, height = 90, width = 160 })
---     local y = block(x)                     -- x: (n, 32, 45, 80), y: (n, 16, 90, 160)
---
--- If the camera moves, the trained map can be larger by `reach`, and each frame sees a window of
--- it. The window's path has `knots` trained positions at evenly spaced times from 0 to 1, and
--- straight lines between them; between cells, the map is sampled by a Lanczos kernel. Such a block
--- is called with the frame's time, a number or a list of n, as its last argument.
---
---     local moving = nn.StaticMap(nn.NeRVBlock(32, 16), 16,
---       { dim = 3, height = 90, width = 160, knots = 9, reach = { 6, 0 } })
---     local y = moving(x, 0.5)
---
--- Other arguments are passed on to the block.
---
---@param block lunerv.Module  makes a map, (n, channels, height, width)
---@param channels integer  channels of that map
---@param options lunerv.nn.StaticMap.Options
local StaticMap <const> = class "StaticMap"

local function pair(value, what)
  if type(value) ~= "table" or #value ~= 2 then
    errors.raise("nn.StaticMap: %s: expected a pair { y, x }, got %s", what,
      type(value) == "table" and ("%d values"):format(#value) or errors.show(value))
  end
  return value
end

-- The positions at `knots` times, by default in the middle: (1, knots, 2). With one row, optimisers
-- do not treat it as a matrix.
local function start(path, knots, reach)
  if path and #path ~= knots then
    errors.raise("nn.StaticMap: path: expected %d pairs, got %d", knots, #path)
  end
  local list = {}
  for k = 1, knots do
    local at = path and pair(path[k], ("path: %d"):format(k)) or { reach[1] / 2, reach[2] / 2 }
    list[k] = { at[1], at[2] }
  end
  return native.tensor(list):view(1, knots, 2)
end

function StaticMap:init(block, channels, given)
  local o = takes(given)
  if type(block) ~= "table" and type(block) ~= "function" then
    errors.raise("nn.StaticMap: expected a module that makes a map, got %s", errors.type_of(block))
  end
  channels = parameter.integer(channels, "nn.StaticMap: channels")
  local dim = parameter.integer(o.dim, "nn.StaticMap: dim")
  local height = parameter.integer(o.height, "nn.StaticMap: height")
  local width = parameter.integer(o.width, "nn.StaticMap: width")
  local knots = parameter.integer(o.knots, "nn.StaticMap: knots", 0)
  local reach = pair(o.reach, "reach")
  local more = {}
  for i = 1, 2 do more[i] = parameter.integer(reach[i], "nn.StaticMap: reach", 0) end
  if knots == 0 and more[1] + more[2] > 0 then
    errors.raise("nn.StaticMap: knots: expected at least 2 for a map that is larger, got 0")
  elseif knots == 1 then
    errors.raise("nn.StaticMap: knots: expected 0 or at least 2, got 1")
  end
  self.up = block
  self.static = parameter.trunc_normal(spread, 1, dim, height + more[1], width + more[2])
  if knots > 0 then self.path = parameter.from(start(o.path, knots, more)) end
  self.window = { height = height, width = width }
  local kernel = knots > 0 and 3 or 1
  self.mix = Conv2d(dim, channels, { kernel = kernel, padding = kernel // 2 })
end

-- The position of the window at each of the n times: (n, 2).
local function positions(self, times)
  local path = self.path
  local knots = path:size(2)
  if not native.is_tensor(times) then
    times = native.tensor(type(times) == "table" and times or { times })
  end
  local at = times:to(path.dtype):view(-1, 1) * (knots - 1)
  local near = (1 - (at - native.arange(0, knots - 1):to(path.dtype):view(1, knots)):abs()):relu()
  return near:matmul(path:view(knots, 2))
end

-- The weights of `size` cells in `count` cells that begin at the positions `at`, (n, 1), by a
-- Lanczos kernel, which keeps the detail of what it moves: (n, 1, count, size).
local function lanczos_weights(at, count, size, dtype)
  local from = native.arange(0, size - 1):to(dtype):view(1, 1, size)
  local to = native.arange(0, count - 1):to(dtype):view(1, count, 1)
  local u = (from - to - at:view(-1, 1, 1)) * math.pi
  -- Avoids 0/0: this close to a cell, sin(u) ≈ u.
  u = native.where(u:abs():lt(1e-3), native.full(1e-3, 1):to(dtype), u)
  local w = u:sin() / u * (u / lobes):sin() / (u / lobes)
  w = native.where(u:abs():lt(lobes * math.pi), w, native.zeros(1):to(dtype))
  return (w / w:sum(3, true)):unsqueeze(2)
end

-- The window of the trained map at `times`: (n, dim, height, width).
local function window_at(self, times)
  local static, window, at = self.static, self.window, positions(self, times)
  local rows = lanczos_weights(at:slice(2, 1, 1), window.height, static:size(3), static.dtype)
  local columns = lanczos_weights(at:slice(2, 2, 2), window.width, static:size(4), static.dtype)
  return rows:matmul(static):matmul(columns:transpose(3, 4))
end

function StaticMap:forward(...)
  if not self.path then return self.up(...) + self.mix(self.static) end
  local count = select("#", ...)
  local times = count > 1 and select(count, ...) or nil
  if times == nil then
    errors.raise "nn.StaticMap: expected the frame's time as the last argument, got none"
  end
  return self.up(table.unpack({ ... }, 1, count - 1)) + self.mix(window_at(self, times))
end

return StaticMap
