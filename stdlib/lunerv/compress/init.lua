-- lv.compress: ways to make a model small, each a model for lv.train and lv.codec.write.
return {
  cem = require "lunerv.compress.cem",
}
