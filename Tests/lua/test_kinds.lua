-- The list of kinds: its facts hold, and a new kind needs no other entry.
local harness <const> = require "harness"
local kinds <const> = require "lunerv.models.kinds"
local lv <const> = require "lunerv"
local plan <const> = require "lunerv.bench.plan"
local report <const> = require "lunerv.bench.report"
local tiny <const> = require "tiny"

local equal <const>, test <const> = harness.equal, harness.test

test("every kind is what the list says, takes its steps, and is offered everywhere", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local help = lv.options.help { command = "regress", usage = "", about = "" }
  local measured, published = {}, {}
  for _, case in ipairs(plan.cases()) do measured[case.model or ""] = true end
  equal({ lv.models.kinds, lv.options.kinds }, { kinds.names, kinds.names })
  for _, kind in ipairs(kinds.list) do
    local name = kind.name
    local model = lv.models[name](tiny.options(name, {
      clip = clip, fc_dim = 6, strides = { 2, 2 }, enc_dim = { 4, 2 }, block_dim = 8,
      pe_levels = 4,
    }))
    equal({ model.kind, model.encode ~= nil, model.position ~= nil, model:condition() ~= nil },
      { name, kind.embeds == true, kind.encodes_time == true, kind.boosted })
    equal(lv.train({ model = model, clip = clip, epochs = 1 }).steps, 3)
    assert(help:find("%f[%w_]" .. name .. "%f[^%w_]"), name)
    equal({ report.title { model = name }, measured[name] }, { kind.title, true })
    -- A published file is identified by its family and by whether it is boosted.
    local key = kind.family and kind.family .. tostring(kind.boosted)
    assert(not (key and published[key]), key)
    if key then published[key] = true end
    assert(not kind.baseline or kinds.by_name[kind.baseline].family == kind.family, name)
  end
end)

-- A NeRV with another name, and another name of its stem.
local addition <const> = [[
local kinds = require "lunerv.models.kinds"
local kind = { name = "other", title = "Other", family = "other", boosted = false,
  encodes_time = true, defaults = { stem_dim = 8, act = "relu" }, commands = {} }
table.insert(kinds.list, 3, kind)
table.insert(kinds.names, 3, "other")
kinds.by_name.other = kind

package.preload["lunerv.models.other"] = function()
  local Other = require("lunerv.nn").class("Other", require "lunerv.models.nerv")
  Other.kind = "other"
  function Other:init(given)
    require("lunerv.models.nerv").init(self, given)
    self.root, self.stem = self.stem, nil
  end
  function Other:first_map(e)
    local c = self.config
    return self.root(e):view(-1, c.fc_dim, c.fc_hw[1], c.fc_hw[2])
  end
  return Other
end

package.preload["lunerv.interop.other"] = function()
  local names, shapes = require "lunerv.interop.names", require "lunerv.interop.shapes"
  return {
    mark = "root.0.weight", time = "root.0.weight", encoded = {},
    names = {
      { "^root%.(%d)%.", names.numbered("root", 2) },
      { "^stages%.(%d+)%.", names.numbered("layers", 1), names.boosted_block },
      { "^head%.", "head_layer." },
    },
    read = function(o, tensors)
      shapes.read_stages(o, tensors, "layers.%d.", 0)
      o.stem_dim = shapes.size(tensors, "root.0.weight", 1)
    end,
  }
end

local lv = require "lunerv"
local clip = assert(lv.video.open(arg[1] .. "/noise.mkv"))
local cem = lv.compress.cem(lv.models.other { clip = clip, fc_dim = 6, strides = { 2, 2 } })
lv.train { model = cem, clip = clip, epochs = 1 }
for _, scale in ipairs { 1, 2 } do
  local model = lv.models.other { clip = clip, fc_dim = 6, strides = { 2, 2 }, head_scale = scale }
  assert(lv.codec.write(arg[1] .. "/other.lnv", lv.compress.cem(model), { clip = clip }))
  assert(lv.codec.open(arg[1] .. "/other.lnv", { confined = false }))
end
assert(lv.interop.save(arg[1] .. "/other.safetensors", cem.model))
print(assert(lv.interop.open(arg[1] .. "/other.safetensors")).kind)
]]

test("a kind is an entry, a class and a family: files and published checkpoints know it", function()
  local folder <close> = harness.folder()
  tiny.noise_clip(folder):close()
  assert(lv.write_file(folder.path .. "/add.lua", addition))
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  local run <close> = assert(io.popen(("'%s' run '%s/add.lua' '%s' 2>&1"):format(pipe:read "l",
    folder.path, folder.path)))
  equal(run:read "a", "other\n")
end)
