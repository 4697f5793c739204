-- The training of `scripts/soak` that goes on from its beginning to its end: CLIP OUT. It tells of
-- what it holds every second.
local lv <const> = require "lunerv"

lv.set_threads(1)
lv.seed(5)
local clip <close> = assert(lv.video.open(arg[1]))
local told = lv.time()

lv.train {
  model = lv.models.hnerv_boost {
    clip = clip, fc_dim = 6, enc_dim = { 6, 4 }, strides = { 2, 2 }, ch_t = 4, pe_levels = 4,
  },
  clip = clip, out = arg[2], epochs = 1 << 22, checkpoint_every = 5, eval_every = 64,
  on_step = function(e)
    assert(e.loss == e.loss, "the loss is no number")
    if lv.time() - told < 1 then return end
    told = lv.time()
    collectgarbage() -- between two collections anything may wait
    local stats = lv.stats()
    io.write(("held %d %d %.1f %d\n"):format(stats.live_tensors, stats.tape_entries,
      collectgarbage "count", e.step))
    io.flush()
  end,
}
