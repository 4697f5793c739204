-- The training of `scripts/soak` that runs all the time: CLIP OUT. It reports its resources every
-- second.
local lv <const> = require "lunerv"

lv.set_threads(1)
lv.seed(5)
local clip <close> = assert(lv.video.open(arg[1]))
local reported = lv.time()

lv.train {
  model = lv.models.hnerv_boost {
    clip = clip, fc_dim = 6, enc_dim = { 6, 4 }, strides = { 2, 2 }, ch_t = 4, pe_levels = 4,
  },
  clip = clip, out = arg[2], epochs = 1 << 22, checkpoint_every = 5, eval_every = 64,
  on_step = function(e)
    assert(e.loss == e.loss, "the loss is NaN")
    if lv.time() - reported < 1 then return end
    reported = lv.time()
    collectgarbage() -- garbage does not count
    local stats = lv.stats()
    io.write(("held %d %d %.1f %d\n"):format(stats.live_tensors, stats.tape_entries,
      collectgarbage "count", e.step))
    io.flush()
  end,
}
