-- The parts shared by kinds whose only input is the frame's time: the grid and the time encoding.
local errors <const> = require "lunerv.errors"
local geometry <const> = require "lunerv.models.geometry"
local Model <const> = require "lunerv.models.model"
local nn <const> = require "lunerv.nn"

local OfTime <const> = nn.class("OfTime", Model)

OfTime.next_width = geometry.next_width.of_time
OfTime.expansion = 1 -- of the first stage

-- Adds the encoding of times, which these kinds round to 32 bits first.
function OfTime:add_position()
  local o = self.config
  self.position = nn.PositionEncoding { base = o.pe_base, levels = o.pe_levels, float = true }
end

-- The first map has fc_hw cells; by default, as many as the frame needs.
function OfTime:set_grid(o)
  local unit = geometry.product(o.strides)
  o.expansion = self.expansion
  o.fc_hw = o.fc_hw
    or { geometry.up(o.height, unit) // unit, geometry.up(o.width, unit) // unit }
  self.grid = o.fc_hw
  self.padding = self:padding_at(unit)
  if self.padding.bottom < 0 or self.padding.right < 0 then
    errors.raise("models.%s: fc_hw: expected at least %d,%d for frames of %dx%d, got %d,%d", o.kind,
      geometry.up(o.height, unit) // unit, geometry.up(o.width, unit) // unit, o.height, o.width,
      o.fc_hw[1], o.fc_hw[2])
  end
end

function OfTime:stem_weights(o) return 160 * o.fc_hw[1] * o.fc_hw[2] end

return OfTime
