-- Optimisers: `optimiser.lr`, `:zero_grad()`, `:step()`, `:state()`, `:load_state(state)`.
--
--   lv.optim.Adam(model:parameters(), { lr = 1e-3, weight_decay = 0.01 })
--   lv.optim.Muon(model:parameters(), { lr = 0.01, rest = { optimiser = "adan", lr = 3e-3 } })
--   lv.optim.Adan { { params = weights, lr = 1e-3 }, { params = biases, optimiser = "sgd" } }
--
-- The first argument is a list of parameters, or of groups { params =, optimiser =, lr =,
-- weight_decay =, … }: a group has the options of its optimiser, and what it leaves out it takes
-- from the second argument or, where it names another optimiser, from that one's defaults.
-- `optimiser.lr` is the rate of the first group; the rates of the others keep their ratio to it.
-- Weight decay is decoupled: a step takes lr · weight_decay of a value off it, beside the update.
local native <const> = require "lunerv.native"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"

local optim <const> = {}

-- The options of each optimiser, with their defaults.
local defaults <const> = {
  adam = { lr = 1e-3, weight_decay = 0, beta1 = 0.9, beta2 = 0.999, eps = 1e-8 },
  adan = { lr = 1e-3, weight_decay = 0, beta1 = 0.98, beta2 = 0.92, beta3 = 0.99, eps = 1e-8 },
  sgd = { lr = 1e-2, weight_decay = 0, momentum = 0, nesterov = false },
  muon = { lr = 1e-2, weight_decay = 0, momentum = 0.95, nesterov = true },
  soap = {
    lr = 3e-3, weight_decay = 0, beta1 = 0.95, beta2 = 0.95, eps = 1e-8, frequency = 10,
    largest = 1024,
  },
}

-- Options that have no default of their own: shampoo_beta is beta2 where it is not given.
local optional <const> = { soap = { "shampoo_beta" } }

local function known() return "adam, adan, muon, sgd, soap" end

local function defaults_of(name)
  return defaults[name]
    or errors.raise("optimiser: expected one of %s, got '%s'", known(), tostring(name))
end

local function complete(name, given, basis) return options(given, basis, optional[name]) end

-- Whether `parameter` is a matrix, of its first dimension by all others, that Muon and SOAP can do
-- something for: a vector has one singular value.
function optim.is_matrix(parameter)
  local shape = parameter.shape
  local rows = shape[1] or 1
  return #shape >= 2 and rows > 1 and parameter:numel() > rows
end

-- The list of groups that `given` says; `own` are the options that hold where a group has none.
local function groups_of(given, name, own)
  if type(given) ~= "table" then
    errors.raise("optimiser: expected a list of parameters or groups, got %s", type(given))
  end
  if given.class_name then
    errors.raise("optimiser: expected a list of parameters or groups, got the module %s (its "
      .. "list is module:parameters())", given.class_name)
  end
  if next(given) == nil then
    errors.raise "optimiser: expected parameters, got an empty list: nothing would be trained"
  end
  if type(given[1]) ~= "table" then
    local group = options.copy(own)
    group.params, group.optimiser = given, name
    return { group }, { true }
  end
  local groups, by_shape, count = {}, {}, 0
  for i, asked in ipairs(given) do
    local parameters = asked.params
    if parameters == nil then
      errors.raise("optimiser: group %d: expected params, got none", i)
    end
    local method = asked.optimiser or name
    local basis = method == name and own or defaults_of(method)
    local wanted = options.copy(asked)
    wanted.params, wanted.optimiser = nil, nil
    local group = complete(method, wanted, basis)
    group.params = type(parameters) == "table" and parameters or { parameters }
    errors.check_list("optimiser: params", group.params)
    count = count + #group.params
    group.optimiser = method
    groups[i], by_shape[i] = group, asked.optimiser == nil
  end
  if count == 0 then
    errors.raise "optimiser: expected parameters, got empty groups: nothing would be trained"
  end
  return groups, by_shape
end

local function make(name, parameters, given)
  local groups = groups_of(parameters, name, complete(name, given, defaults[name]))
  return native.optimiser(groups)
end

-- Adam (Kingma & Ba): lr · m̂ / (√v̂ + eps).
function optim.Adam(parameters, given) return make("adam", parameters, given) end

-- Adan (arXiv 2208.06677): Adam with the change of the gradient as a third moment.
function optim.Adan(parameters, given) return make("adan", parameters, given) end

-- Gradient descent: v ← momentum · v + g, a step of lr · v; with `nesterov` of
-- lr · (g + momentum · v).
function optim.SGD(parameters, given) return make("sgd", parameters, given) end

-- Splits a group by the shapes of its parameters: matrices stay, the others follow `rest`.
local function split(group, rest)
  local matrices, others = options.copy(group), options.copy(rest)
  matrices.params, others.params = {}, {}
  for _, parameter in ipairs(group.params) do
    local list = optim.is_matrix(parameter) and matrices.params or others.params
    list[#list + 1] = parameter
  end
  return matrices, others
end

-- An optimiser of matrices. What is none (biases, scales) goes to the optimiser of `rest`,
-- { optimiser = "adan", lr = 3e-3, … }. A group that names its optimiser gets it for all it holds.
local function make_by_shape(method, parameters, given)
  local own = options.copy(given)
  local asked = options.copy(own.rest or {})
  own.rest = nil
  own = complete(method, own, defaults[method])
  local name = asked.optimiser or "adan"
  asked.optimiser, asked.lr = nil, asked.lr or 3e-3
  local rest = complete(name, asked, defaults_of(name))
  rest.optimiser = name

  local groups, by_shape = groups_of(parameters, method, own)
  local list = {}
  for i, group in ipairs(groups) do
    if by_shape[i] then
      local matrices, others = split(group, rest)
      list[#list + 1], list[#list + 2] = matrices, others
    else
      list[#list + 1] = group
    end
  end
  return native.optimiser(list)
end

-- Muon (Jordan et al., 2024) for matrices: the momentum's singular values are all set close to 1,
-- and the step is lr · √max(1, rows/columns) of that. A convolution's weight is the matrix of its
-- output channels by all else.
function optim.Muon(parameters, given) return make_by_shape("muon", parameters, given) end

-- SOAP (arXiv 2409.11321) for matrices: Adam in the eigenbases of the mean GGᵀ and GᵀG, which keep
-- `shampoo_beta` of themselves at each step. The bases are refreshed every `frequency` steps; a
-- dimension beyond `largest` has none. The first step only finds them and changes no matrix.
function optim.SOAP(parameters, given) return make_by_shape("soap", parameters, given) end

local constructors <const> = {
  adam = optim.Adam, adan = optim.Adan, muon = optim.Muon, sgd = optim.SGD,
  soap = optim.SOAP,
}

-- The constructor called `name` on the command line.
function optim.by_name(name)
  return constructors[name]
    or errors.raise("unknown optimiser '%s' (known: %s)", tostring(name), known())
end

return errors.refuse_unknown(optim, "lv.optim")
