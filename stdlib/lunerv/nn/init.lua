-- lv.nn: modules and blocks, one per file.
local activations <const> = require "lunerv.nn.activations"
local convnext <const> = require "lunerv.nn.convnext"
local errors <const> = require "lunerv.errors"
local pooling <const> = require "lunerv.nn.pooling"
local transformer <const> = require "lunerv.nn.transformer"

return errors.refuse_unknown({
  class = require "lunerv.nn.class",
  parameter = require("lunerv.nn.parameter").from,
  activation = require "lunerv.nn.activation",

  List = require "lunerv.nn.list",
  Sequential = require "lunerv.nn.sequential",

  Linear = require "lunerv.nn.linear",
  Conv2d = require "lunerv.nn.conv2d",
  ConvTranspose2d = require "lunerv.nn.conv_transpose2d",
  Conv3d = require "lunerv.nn.conv3d",
  MaskedConv2d = require "lunerv.nn.masked_conv2d",
  LayerNorm = require "lunerv.nn.layer_norm",
  BatchNorm2d = require "lunerv.nn.batch_norm",
  GroupNorm = require "lunerv.nn.group_norm",
  RMSNorm = require "lunerv.nn.rms_norm",
  Dropout = require "lunerv.nn.dropout",
  MLP = require "lunerv.nn.mlp",
  GELU = activations.GELU,
  ReLU = activations.ReLU,
  SiLU = activations.SiLU,
  Sigmoid = activations.Sigmoid,
  Tanh = activations.Tanh,
  Sin = activations.Sin,
  Identity = activations.Identity,
  Upsample = require "lunerv.nn.upsample",
  AvgPool2d = pooling.AvgPool2d,
  MaxPool2d = pooling.MaxPool2d,
  AdaptiveAvgPool2d = pooling.AdaptiveAvgPool2d,
  PositionEncoding = require "lunerv.nn.position_encoding",

  TAT = require "lunerv.nn.tat",
  TATResidual = require "lunerv.nn.tat_residual",
  NormAffine = require "lunerv.nn.norm_affine",
  NeRVBlock = require "lunerv.nn.nerv_block",
  TwoConvBlock = require "lunerv.nn.two_conv_block",
  SNeRVBlock = require "lunerv.nn.snerv_block",
  Boosted = require "lunerv.nn.boosted",
  boost = require "lunerv.nn.boost",
  StaticMap = require "lunerv.nn.static_map",
  ConvNeXt = convnext.ConvNeXt,
  ConvNeXtBlock = convnext.Block,
  Attention = transformer.Attention,
  Transformer = transformer.Transformer,

  with_parameters = require "lunerv.nn.with_parameters",
  reparametrise = require "lunerv.nn.reparametrise",

  out_image = require "lunerv.nn.out_image",
}, "lv.nn")
