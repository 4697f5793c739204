-- For `luarocks make scripts/lunerv-scm-1.rockspec` in a checkout. Needs Swift 6.3 and the libraries
-- that scripts/setup names; the module that it installs needs the libraries alone.
rockspec_format = "3.0"
package = "lunerv"
version = "scm-1"
source = {
  url = ".", -- the checkout itself
}
description = {
  summary = "Tensors, networks and a neural video codec, computed by native kernels.",
  detailed = [[
    lunerv is a neural video codec and research host. This is its library as a module of a plain
    Lua 5.4: tensors with gradients, networks, training, video files in and out, and the codec.]],
  license = "MIT",
  labels = { "video", "machine-learning", "numeric" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua ~> 5.4",
}
build = {
  type = "command",
  -- LuaRocks names a compiler in CC; Swift brings its own.
  build_command = "env -u CC swift build -c release --product lunerv-lua "
    .. "&& cp .build/release/liblunerv-lua.so .build/lunerv.so",
  install = {
    lib = {
      lunerv = ".build/lunerv.so",
    },
  },
}
