local harness <const> = require "harness"
local lv <const> = require "lunerv"
local interop <const> = lv.interop

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

-- A configuration as the published programs print it.
local config <const> = {
  sft_block = "res_sft", ch_t = 16, act = "sin", embed = "pe_1.25_80", enc_strds = { 5, 2, 2 },
  enc_dim = "16_8", enc_blks = 1, dec_strds = { 5, 2, 2 }, ks = "0_1_5", reduce = 1.2,
  dec_blks = { 1, 1, 2 }, lower_width = 12, out_bias = "tanh", fc_dim = 24,
}

local function model_of(kind)
  return lv.models[kind](interop.options_from_published(kind, config, 180, 320, 132))
end

test("published names", function()
  local expected = {
    ["stem.up.conv.weight"] = "decoder.0.conv.downconv.weight",
    ["stem.residual.conv1.bias"] = "decoder.0.sft_block.conv0.bias",
    ["stages.3.up.conv.weight"] = "decoder.3.conv.upconv.0.weight",
    ["stages.4.residual.tat2.gamma.2.bias"] = "decoder.4.sft_block.sft1.SFT_scale_conv1.bias",
    ["stages.1.residual.tat1.beta.1.weight"] = "decoder.1.sft_block.sft0.SFT_shift_conv0.weight",
    ["stages.1.conv.bias"] = "decoder.1.conv.upconv.0.bias",
    ["time.2.weight"] = "stem_t.2.weight",
    ["encoder.stages.1.conv.weight"] = "encoder.downsample_layers.0.0.weight",
    ["encoder.stages.1.norm.weight"] = "encoder.downsample_layers.0.1.weight",
    ["encoder.stages.3.conv.weight"] = "encoder.downsample_layers.2.1.weight",
    ["encoder.stages.3.norm.bias"] = "encoder.downsample_layers.2.0.bias",
    ["encoder.stages.2.blocks.1.scale"] = "encoder.stages.1.0.gamma",
    ["encoder.stages.2.blocks.1.project.weight"] = "encoder.stages.1.0.pwconv2.weight",
    ["head.bias"] = "head_layer.bias",
  }
  for ours, theirs in pairs(expected) do
    equal(interop.published_name("hnerv_boost", ours), theirs)
  end
  equal(interop.published_name("hnerv_boost", "position.bases"), nil)
end)

test("every parameter has a published name of its own", function()
  for kind, count in pairs { hnerv = 51, hnerv_boost = 155 } do
    local list, seen = interop.published_parameters(model_of(kind)), {}
    equal(#list, count)
    for _, entry in ipairs(list) do
      assert(not seen[entry[1]], entry[1])
      seen[entry[1]] = true
    end
  end
end)

test("published parameters are loaded, 1×1 convolutions as linear layers", function()
  local source, target = model_of "hnerv_boost", model_of "hnerv_boost"
  local published = {}
  for _, entry in ipairs(interop.published_parameters(source)) do
    local name, tensor = entry[1], entry[2]:detach()
    if name:match "^stem_t.*weight$" then
      tensor = tensor:view(tensor:size(1), tensor:size(2), 1, 1)
    end
    published[name] = tensor
  end
  interop.load_published(target, published)
  equal(target.time[1].weight:tolist(), source.time[1].weight:tolist())
  published["stem_t.0.bias"] = nil
  raises(function() interop.load_published(target, published) end, "stem_t.0.bias")
end)
