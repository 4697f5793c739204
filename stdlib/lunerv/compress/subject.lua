-- The facts that the methods need about a model: models of lv.models know their clip, and how many
-- of their parameters a file holds; for others, the clip is an option.
local errors <const> = require "lunerv.errors"

local subject <const> = {}

-- { height, width, frames, … }, plain data that identifies the model.
function subject.config(model, clip, method)
  if type(model) ~= "table" or not model.class_name or rawget(model, "class_name") then
    errors.raise("%s: expected a module, got %s", method, type(model) == "table"
      and model.class_name and "the class " .. model.class_name or errors.type_of(model))
  end
  if model.config and model.config.height then return model.config end
  if not clip then
    errors.raise("%s: expected a model of lv.models, or the option `clip` for one of your own, got "
      .. "%s without it", method, model.class_name)
  end
  return {
    decoder = model.class_name, height = clip.height, width = clip.width, frames = #clip,
  }
end

-- Whether the model decodes embeddings, which its encoder makes from frames.
function subject.has_embeddings(model)
  return model.encode ~= nil and model.decode ~= nil
end

-- The number of parameters in a file.
function subject.stored_parameters(model)
  if model.stored_parameters then return model:stored_parameters() end
  return model:parameter_count()
end

return subject
