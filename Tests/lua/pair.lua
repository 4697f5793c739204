-- A module of two layers and a buffer, for tests of modules; and the names of its parameters.
local lv <const> = require "lunerv"
local nn <const> = lv.nn

local Pair <const> = nn.class "Pair"

function Pair:init()
  self.second = nn.Linear(3, 2)
  self.first = nn.Linear(2, 3)
  self.note = "no parameter"
  self.mean = lv.zeros(2)
end

function Pair:forward(x) return self.second(self.first(x)) end

local function names_of(module)
  local names = {}
  for name in module:named_parameters() do names[#names + 1] = name end
  return names
end

return { Pair = Pair, names_of = names_of }
