-- The parts shared by all comparisons with golden files.
local Golden <const> = {}
Golden.__index = Golden

local function largest(x) return x:abs():amax():item() end

-- A kind of golden file: a class of objects with `tensors`, by name, and a method `check`.
function Golden.class()
  local class <const> = setmetatable({}, Golden)
  class.__index = class
  return class
end

-- An object of `class` with the given fields. Its `report(name, deviation, tolerance, agrees)` is
-- called for every comparison; `compared` and `disagreed` count them.
function Golden.new(class, fields)
  fields.report, fields.compared, fields.disagreed = function() end, 0, 0
  return setmetatable(fields, class)
end

function Golden:note(name, deviation, tolerance)
  local agrees = deviation <= tolerance
  self.compared = self.compared + 1
  if not agrees then self.disagreed = self.disagreed + 1 end
  self.report(name, deviation, tolerance, agrees)
end

function Golden:note_absolute(name, ours, theirs, tolerance)
  self:note(name, largest(ours - theirs), tolerance)
end

-- Relative to the largest magnitude in `theirs`.
function Golden:note_tensor(name, ours, theirs, tolerance)
  local deviation, scale = largest(ours - theirs), largest(theirs)
  self:note(name, scale > 0 and deviation / scale or deviation, tolerance)
end

function Golden:note_number(name, ours, theirs, tolerance)
  self:note(name, math.abs(ours - theirs) / math.abs(theirs), tolerance)
end

return Golden
