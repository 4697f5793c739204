-- lv.nn: modules and blocks, each in a file of its own.
local convnext <const> = require "lunerv.nn.convnext"

return {
  class = require "lunerv.nn.class",
  parameter = require("lunerv.nn.parameter").from,
  activation = require "lunerv.nn.activation",

  List = require "lunerv.nn.list",
  Sequential = require "lunerv.nn.sequential",

  Linear = require "lunerv.nn.linear",
  Conv2d = require "lunerv.nn.conv2d",
  LayerNorm = require "lunerv.nn.layer_norm",
  MLP = require "lunerv.nn.mlp",
  PositionEncoding = require "lunerv.nn.position_encoding",

  TAT = require "lunerv.nn.tat",
  TATResidual = require "lunerv.nn.tat_residual",
  NeRVBlock = require "lunerv.nn.nerv_block",
  SNeRVBlock = require "lunerv.nn.snerv_block",
  ConvNeXt = convnext.ConvNeXt,
  ConvNeXtBlock = convnext.Block,

  out_image = require "lunerv.nn.out_image",
}
