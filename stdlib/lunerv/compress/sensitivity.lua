-- sensitivity(parameters, clip, run, frames): how much an error of each parameter changes the
-- pictures.
--
-- An error δ of one parameter changes a frame's pixels by J·δ, where J are their derivatives with
-- respect to it, and their squared error by |J|²·δ². A random vector r of independent numbers of
-- variance 1 has E (J·r)² = |J|², and J·r is the gradient of Σ r·pixels: one backward pass per
-- frame estimates it for all parameters together (Hutchinson's estimator of the diagonal of the
-- Gauss-Newton matrix).
local native <const> = require "lunerv.native"

-- The default number of frames, evenly spaced.
local most_frames <const> = 48

-- `parameters` are tensors with gradients, `run(index)` makes frame `index` of `clip` from them.
-- Returns a list of tensors with the same shapes: the mean over `frames` frames of |J|². It is
-- deterministic.
return function(parameters, clip, run, frames)
  local state, sums = native.rng_state(), {}
  native.seed(0)
  local count = math.min(frames or most_frames, #clip)
  for i = 1, count do
    local index = 1 + (i - 1) * #clip // count
    for _, parameter in ipairs(parameters) do parameter.grad = nil end
    local output = run(index)
    local probe = native.randn(table.unpack(output.shape))
    native.sum(output * probe):backward()
    native.no_grad(function()
      for k, parameter in ipairs(parameters) do
        -- A frame may not depend on a parameter.
        local grad = parameter.grad or native.zeros_like(parameter)
        local square = grad * grad * (1 / count)
        sums[k] = (sums[k] and sums[k] + square or square):evaluate()
      end
    end)
    native.step_boundary()
  end
  native.set_rng_state(state)
  return sums
end
