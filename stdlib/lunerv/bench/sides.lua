-- The sides of `lunerv bench --quality`: how each trains a clip for a number of passes. A side is {
-- name, program, recipe, … } with `run(passes, on_pass)`, which calls on_pass { pass, psnr } after
-- each pass and returns { passes, psnr, parameters, cpu_seconds }, or nil and the reason of a
-- failure. `o` holds kind, path, row (of sizes.lua), program (lunerv's own), script (one that runs
-- trial.lua), frames (a path for them), and the options of bench.run.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local process <const> = require "lunerv.bench.process"
local torch <const> = require "lunerv.bench.torch"
local trial <const> = require "lunerv.bench.trial"

local sides <const> = {}

local quoted <const> = process.quoted

local function joined(value)
  return type(value) == "table" and table.concat(value, ",") or tostring(value)
end

-- Quotes words for the shell.
local function command_of(words)
  local list = {}
  for i, word in ipairs(words) do list[i] = quoted(tostring(word)) end
  return table.concat(list, " ")
end

-- Runs a program of either side: the last object that it prints, or nil and the reason.
local function ask(o, command, on_pass)
  local answer, last
  local code = process.run(command, function(line)
    local ok, value = pcall(native.json_decode, line)
    if not ok or type(value) ~= "table" then
      if line:match "%S" then last = line end
    elseif value.pass then
      on_pass(value)
    else
      answer = value
    end
  end)
  if answer and answer.skipped then return nil, answer.skipped end
  if answer and code == 0 then return answer end
  if code == 127 then return nil, o.python .. " is not installed" end
  return nil, ("failed: %s"):format(last or "exit code " .. tostring(code))
end

-- lunerv -------------------------------------------------------------------------------------

-- The command line of scripts/regress.lua for a recipe, a number of passes and the clip.
local function words_of(o, recipe, passes)
  local kind, row = o.kind, o.row
  local wanted = {
    size = (row.kinds[kind] or {})[1], strides = joined(row.strides),
    enc_dim = joined(row.enc_dim), head_scale = recipe == "fast" and o.head_scale or nil,
  }
  local words = {
    "--recipe", recipe, "--model", kind, "--threads", tostring(o.thread_counts[1]),
    "--epochs", tostring(passes),
  }
  for _, name in ipairs(options.model_names(kind)) do
    if wanted[name] ~= nil then
      words[#words + 1] = "--" .. name:gsub("_", "-")
      words[#words + 1] = tostring(wanted[name])
    end
  end
  return table.move({ "--", o.path }, 1, 2, #words + 1, words)
end

-- The model that lunerv trains with that recipe.
function sides.model(o, recipe, clip)
  return trial.model(trial.options(words_of(o, recipe, 1)), clip)
end

-- lunerv with a recipe.
function sides.lunerv(o, recipe)
  return {
    name = recipe, program = "lunerv", recipe = recipe,
    head_scale = trial.options(words_of(o, recipe, 1)).head_scale or 1,
    run = function(passes, on_pass)
      return ask(o, ("%s run %s %s"):format(quoted(o.program), quoted(o.script),
        command_of(words_of(o, recipe, passes))), on_pass)
    end,
  }
end

-- PyTorch -----------------------------------------------------------------------------------

-- The arguments of torch_quality.py for the model that `published` trains; or nil and why it cannot
-- train one.
local function twin_words(o, model)
  local c = model.config
  if model.padding.bottom > 0 or model.padding.right > 0 then
    return nil, ("size: expected frames that the strides %s divide, got %dx%d: the twin does not "
      .. "pad"):format(joined(c.strides), c.height, c.width)
  end
  local words = {
    "--model", o.kind, "--height", c.height, "--width", c.width, "--fc-dim", c.fc_dim,
    "--strides", joined(c.strides), "--threads", o.thread_counts[1],
    "--warmup", options.default("warmup", o.kind), "--seed", options.default("seed", o.kind),
  }
  for _, name in ipairs { "enc_dim", "fc_hw" } do
    if c[name] then
      words[#words + 1] = "--" .. name:gsub("_", "-")
      words[#words + 1] = joined(c[name])
    end
  end
  return words
end

-- The frames of the clip as bytes, RGB RGB …, in a file, so that both sides see the same pixels.
local function write_frames(o)
  local script = o.frames .. ".lua"
  assert(native.write_file(script, [[
    local lv <const> = require "lunerv"
    local clip <close> = assert(lv.video.open(arg[1]))
    local writer <close> = assert(lv.video.writer("-",
      { width = clip.width, height = clip.height, fps = clip.fps }))
    for i = 1, #clip do writer:write(clip:frame_u8(i)) end
    writer:close()
  ]]))
  local code = process.run(("%s run %s %s >%s"):format(quoted(o.program), quoted(script),
    quoted(o.path), quoted(o.frames)), function() end)
  if code ~= 0 then errors.fail("io", "%s", o.frames .. ": the frames could not be written") end
end

-- PyTorch with the published recipe and lunerv's `model` of it. If it cannot run, `skipped` says
-- why.
function sides.torch(o, model)
  local side = {
    name = "PyTorch", program = "PyTorch", recipe = "published",
    parameters = model:parameter_count(),
  }
  local script, words, there
  script, side.skipped = torch.script(o, "torch_quality.py")
  if not script then return side end
  words, side.skipped = twin_words(o, model)
  if not words then return side end
  local start = ("%s %s"):format(quoted(o.python), quoted(script))
  there, side.skipped = ask(o, start .. " --check 2>&1")
  if not there then return side end
  side.version = there.torch_version
  write_frames(o)
  function side.run(passes, on_pass)
    return ask(o, ("%s %s %s --passes %d 2>&1"):format(start, quoted(o.frames),
      command_of(words), passes), on_pass)
  end
  return side
end

return sides
