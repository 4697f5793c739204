-- Optimisers: `optimiser.lr`, `:zero_grad()`, `:step()`, `:state()`, `:load_state(state)`.
--
--   lv.optim.Adam(model:parameters(), { lr = 1e-3, weight_decay = 0.01 })
--   lv.optim.Muon(model:parameters(), { lr = 0.01, rest = { optimiser = "adan", lr = 3e-3 } })
--   lv.optim.Adan { { params = weights, lr = 1e-3 }, { params = biases, optimiser = "sgd" } }
--
-- The first argument is a list of parameters, or of groups { params =, optimiser =, lr =,
-- weight_decay =, … }. A group has the options of its optimiser. Options that it leaves out come
-- from the second argument or, if the group names another optimiser, from that optimiser's
-- defaults. `optimiser.lr` is the learning rate of the first group; the other groups keep their
-- ratio to it.
-- Weight decay is decoupled: in addition to the update, a step subtracts lr · weight_decay · value.
local names <const> = require "lunerv.names"
local native <const> = require "lunerv.native"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"

local optim <const> = {}

local known <const> = { "adam", "adan", "muon", "sgd", "soap" }

local decay <const> = { "weight_decay", 0, "a step subtracts lr · weight_decay · value" }
local eps <const> = { "eps", 1e-8, "added to the root in the denominator of a step" }
local rest <const> = { "rest", nil, "optimiser of parameters that are not matrices: its name as "
  .. "`optimiser` (adan), lr (3e-3), and its other options", type = "table" }

-- The options of each optimiser.
local takes <const> = {
  adam = options.takes("optim.Adam", {
    { "lr", 1e-3, "learning rate" }, decay,
    { "beta1", 0.9, "decay of the running mean of gradients" },
    { "beta2", 0.999, "decay of the running mean of their squares" }, eps,
  }),
  adan = options.takes("optim.Adan", {
    { "lr", 1e-3, "learning rate" }, decay,
    { "beta1", 0.98, "decay of the running mean of gradients" },
    { "beta2", 0.92, "decay of the running mean of gradient differences" },
    { "beta3", 0.99, "decay of the running mean of their squares" }, eps,
  }),
  sgd = options.takes("optim.SGD", {
    { "lr", 1e-2, "learning rate" }, decay,
    { "momentum", 0, "decay of the running sum of gradients" },
    { "nesterov", false, "whether to use Nesterov momentum" },
  }),
  muon = options.takes("optim.Muon", {
    { "lr", 1e-2, "learning rate of the matrices" }, decay,
    { "momentum", 0.95, "decay of the running sum of gradients" },
    { "nesterov", true, "whether to use Nesterov momentum" }, rest,
  }),
  soap = options.takes("optim.SOAP", {
    { "lr", 3e-3, "learning rate of the matrices" }, decay,
    { "beta1", 0.95, "decay of the running mean of gradients" },
    { "beta2", 0.95, "decay of the running mean of their squares" },
    { "shampoo_beta", nil, "decay of the means of GGᵀ and GᵀG (beta2)", type = "number" }, eps,
    { "frequency", 10, "steps between updates of the eigenbases" },
    { "largest", 1024, "a larger dimension has no eigenbasis" }, rest,
  }),
}

-- The checker for the options of the optimiser `name`; `what` names the caller.
local function takes_of(name, what)
  return takes[name] or errors.raise("%s: unknown optimiser '%s'%s (known: %s)", what,
    tostring(name), names.meant(tostring(name), known), errors.list(known))
end

-- Options of the optimiser `name`, checked: `given`, over those of `basis`.
local function complete(name, given, basis)
  if basis and type(given) == "table" then
    local all = options.copy(basis)
    for key, value in next, given do all[key] = value end
    given = all
  end
  return takes[name](given)
end

--- Whether Muon and SOAP treat a parameter as a matrix, its first dimension by all others: it has
--- at least two rows and two columns.
---
---     if lv.optim.is_matrix(parameter) then matrices[#matrices + 1] = parameter end
---
---@param parameter lunerv.Tensor
---@return boolean
function optim.is_matrix(parameter)
  local shape = parameter.shape
  local rows = shape[1] or 1
  return #shape >= 2 and rows > 1 and parameter:numel() > rows
end

-- The name of an optimiser's constructor in messages.
local function called(name) return takes[name].of end

-- Raises unless `list` holds trainable tensors. `what` names the caller.
local function check_parameters(what, list)
  for i, parameter in ipairs(list) do
    if not native.is_tensor(parameter) then
      errors.raise("%s: parameter %d: expected a tensor, got %s", what, i,
        errors.type_of(parameter))
    end
    if not parameter.requires_grad then
      errors.raise("%s: parameter %d: expected a tensor that requires a gradient, got one that "
        .. "does not (nn.parameter makes it one)", what, i)
    end
  end
end

-- The list of groups in `given`; `own` are the options that a group inherits.
local function groups_of(given, name, own)
  local what = called(name)
  if type(given) ~= "table" then
    errors.raise("%s: expected a list of parameters or groups, got %s", what,
      errors.type_of(given))
  end
  if given.class_name then
    errors.raise("%s: expected a list of parameters or groups, got the module %s (its list is "
      .. "module:parameters())", what, given.class_name)
  end
  if next(given) == nil then
    errors.raise("%s: expected parameters, got an empty list: nothing would be trained", what)
  end
  if type(given[1]) ~= "table" then
    local group = options.copy(own)
    check_parameters(what, given)
    group.params, group.optimiser = given, name
    return { group }, { true }
  end
  local groups, by_shape, count = {}, {}, 0
  for i, entry in ipairs(given) do
    local parameters = entry.params
    if parameters == nil then
      errors.raise("%s: group %d: expected params, got none", what, i)
    end
    local method = entry.optimiser or name
    takes_of(method, ("%s: group %d"):format(what, i))
    if entry.rest ~= nil then
      errors.raise("%s: group %d: expected `rest` among the options of all groups", what, i)
    end
    local wanted = options.copy(entry)
    wanted.params, wanted.optimiser = nil, nil
    local group = complete(method, wanted, method == name and own or nil)
    group.params = type(parameters) == "table" and parameters or { parameters }
    local which <const> = ("%s: group %d"):format(what, i)
    errors.check_list(which .. ": params", group.params)
    check_parameters(which, group.params)
    count = count + #group.params
    group.optimiser = method
    groups[i], by_shape[i] = group, entry.optimiser == nil
  end
  if count == 0 then
    errors.raise("%s: expected parameters, got empty groups: nothing would be trained", what)
  end
  return groups, by_shape
end

-- The groups of each optimiser, which cannot list them itself.
local groups_by_optimiser <const> = setmetatable({}, { __mode = "k" })

local function new(name, groups)
  local optimiser = errors.on_behalf(called(name), "optimiser", native.optimiser, groups)
  groups_by_optimiser[optimiser] = groups
  return optimiser
end

local function make(name, parameters, given)
  return new(name, (groups_of(parameters, name, complete(name, given))))
end

--- Adam (Kingma & Ba): a step of lr · m̂ / (√v̂ + eps).
--- Unlike PyTorch, weight decay is decoupled, as in its AdamW, and 0 unless given.
---
---     local optimiser = lv.optim.Adam(model:parameters(), { lr = 1e-3, weight_decay = 0.01 })
---
---@param parameters lunerv.Tensor[]|table[]  parameters, or groups { params = …, lr = …, … }
---@param given? lunerv.optim.Adam.Options
---@return lunerv.Optimiser
function optim.Adam(parameters, given) return make("adam", parameters, given) end

--- Adan (arXiv 2208.06677): Adam with Nesterov momentum from the change of the gradient.
---
---     local optimiser = lv.optim.Adan(model:parameters(), { lr = 3e-3 })
---
---@param parameters lunerv.Tensor[]|table[]  parameters, or groups { params = …, lr = …, … }
---@param given? lunerv.optim.Adan.Options
---@return lunerv.Optimiser
function optim.Adan(parameters, given) return make("adan", parameters, given) end

--- Gradient descent: v ← momentum · v + g, and a step of lr · v; with `nesterov`, of lr · (g +
--- momentum · v).
--- Unlike PyTorch, weight decay is decoupled: it is not added to g.
---
---     local optimiser = lv.optim.SGD(model:parameters(), { lr = 0.1, momentum = 0.9 })
---
---@param parameters lunerv.Tensor[]|table[]  parameters, or groups { params = …, lr = …, … }
---@param given? lunerv.optim.SGD.Options
---@return lunerv.Optimiser
function optim.SGD(parameters, given) return make("sgd", parameters, given) end

-- Splits a group by the shapes of its parameters: matrices stay, the others go to `rest`.
local function split(group, other)
  local matrices, others = options.copy(group), options.copy(other)
  matrices.params, others.params = {}, {}
  for _, parameter in ipairs(group.params) do
    local list = optim.is_matrix(parameter) and matrices.params or others.params
    list[#list + 1] = parameter
  end
  return matrices, others
end

-- An optimiser of matrices. Other parameters (biases, scales) go to the optimiser of `rest`, {
-- optimiser = "adan", lr = 3e-3, … }. A group that names its optimiser uses it for all its
-- parameters.
local function make_by_shape(method, parameters, given)
  local own = complete(method, given)
  local remaining = options.copy(own.rest)
  own.rest = nil
  local name = remaining.optimiser or "adan"
  takes_of(name, called(method) .. ": rest")
  remaining.optimiser, remaining.lr = nil, remaining.lr or 3e-3
  local other = complete(name, remaining)
  other.optimiser = name

  local groups, by_shape = groups_of(parameters, method, own)
  local list = {}
  for i, group in ipairs(groups) do
    if by_shape[i] then
      local matrices, others = split(group, other)
      list[#list + 1], list[#list + 2] = matrices, others
    else
      list[#list + 1] = group
    end
  end
  return new(method, list)
end

--- Muon (Jordan et al., 2024) for matrices: all singular values of the momentum are set close to 1,
--- and the step is lr · √max(1, rows/columns) of that. A convolution's weight is the matrix of its
--- output channels by all else. Other parameters, biases and scales, go to the optimiser of `rest`.
---
---     local optimiser = lv.optim.Muon(model:parameters(),
---       { lr = 0.01, rest = { optimiser = "adam", lr = 1e-3 } })
---
---@param parameters lunerv.Tensor[]|table[]  parameters, or groups { params = …, lr = …, … }
---@param given? lunerv.optim.Muon.Options
---@return lunerv.Optimiser
function optim.Muon(parameters, given) return make_by_shape("muon", parameters, given) end

--- SOAP (arXiv 2409.11321) for matrices: Adam in the eigenbases of the mean GGᵀ and GᵀG. The first
--- step only computes the eigenbases and changes no matrix. Other parameters go to the optimiser of
--- `rest`.
---
---     local optimiser = lv.optim.SOAP(model:parameters(), { lr = 3e-3, frequency = 10 })
---
---@param parameters lunerv.Tensor[]|table[]  parameters, or groups { params = …, lr = …, … }
---@param given? lunerv.optim.SOAP.Options
---@return lunerv.Optimiser
function optim.SOAP(parameters, given) return make_by_shape("soap", parameters, given) end

local constructors <const> = {
  adam = optim.Adam, adan = optim.Adan, muon = optim.Muon, sgd = optim.SGD,
  soap = optim.SOAP,
}

--- The optimiser's constructor for a name of the command line: "adam", "adan", "muon", "sgd",
--- "soap".
---
---     local optimiser = lv.optim.by_name "adan"(model:parameters(), { lr = 3e-3 })
---
---@param name string
---@return fun(parameters: table, options?: table): lunerv.Optimiser
function optim.by_name(name)
  takes_of(name, "optim.by_name")
  return constructors[name]
end

--- The groups that an optimiser of this module updates: lists of parameters, and their options.
---
---     for _, group in ipairs(lv.optim.groups(optimiser)) do print(group.optimiser, group.lr) end
---
---@param optimiser lunerv.Optimiser
---@return table[]?  { params =, optimiser =, lr =, … } each; nil for a custom optimiser
function optim.groups(optimiser) return groups_by_optimiser[optimiser] end

--- An optimiser as one line: the methods, numbers and options of its groups.
--- A resumed run compares it.
---
---     print(lv.optim.describe(optimiser))
---
---@param optimiser lunerv.Optimiser
---@return string?  nil for a custom optimiser
function optim.describe(optimiser)
  local groups, list = groups_by_optimiser[optimiser], {}
  if not groups then return nil end
  for i, group in ipairs(groups) do
    local words = {}
    for name, value in pairs(group) do
      if name ~= "params" and name ~= "optimiser" then
        words[#words + 1] = ("%s=%s"):format(name, tostring(value))
      end
    end
    table.sort(words)
    list[i] = ("%s of %d parameters (%s)"):format(group.optimiser, #group.params,
      table.concat(words, ", "))
  end
  return table.concat(list, "; ")
end

return errors.refuse_unknown(optim, "lv.optim")
