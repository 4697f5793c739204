-- Endless work: tiny operators, loops, stalling, work of many frames.
local function forever(body, prepared)
  return { (prepared or "local x = lv.ones(4) ") .. "while true do " .. body .. " end", "(max_work",
    work = 1e7 }
end

return {
  { class = "tiny operators", programs = {
    forever "x = x + 1", forever "x = -x", forever "local _ = x:numel()", forever "x:size(1)",
    forever "local _ = x:dim()", forever "local _ = x.shape", forever "local _ = x.dtype",
    forever "local _ = #x", forever "local _ = x[1]", forever "x[1] = 2",
    forever "local _ = x:view(2, 2)", forever "local _ = x:expand(2, 4)",
    forever "local _ = x:detach()", forever "local _ = x:flatten()",
    forever "local _ = x:unsqueeze(1)", forever "local _ = x:reshape(4)",
    forever "x:evaluate()", forever "local _ = lv.zeros(0)", forever "local _ = lv.zeros(1)",
    forever "local _ = x:sum():item()", forever "local _ = x:tolist()",
    forever "local _ = x:is_finite()", forever "local _ = x:contiguous()",
    forever "local _ = x.requires_grad",
    forever("local _ = x:permute { 2, 1 }", "local x = lv.zeros(0, 0) "),
    forever("local _ = lv.cat { x, x }", "local x = lv.zeros(0) "),
    forever("local _ = x:conv2d(w)", "local x, w = lv.zeros(1, 1, 1, 1), lv.zeros(1, 1, 1, 1) "),
    forever("local _ = x:pixel_unshuffle(2)", "local x = lv.zeros(1, 1, 0, 0) "),
    forever("x = x:pixel_unshuffle(2)", "local x = lv.zeros(1, 0, 0, 0) "),
    forever("x = x:pixel_unshuffle(2):relu()", "local x = lv.zeros(1, 0, 0, 0) "),
    forever("x = x:pixel_shuffle(2):pixel_unshuffle(2)", "local x = lv.zeros(1, 4, 2, 2) "),
    forever("x = m(x)", "local m, x = lv.nn.Linear(4, 4), lv.ones(1, 4) "),
    forever("x = x:conv2d(w):sin()", "local x, w = lv.ones(1, 8, 2, 2), lv.ones(8, 8, 1, 1) "),
    forever "local _ = x:eq(x)", forever "local _ = x:argmax()",
  } },
  { class = "loops", programs = {
    { "while true do end", "seconds of processor time" },
    { "if t == 1 then while true do end end return lv.zeros(1, 3, 12, 20)",
      "seconds of processor time", place = "forward" },
  } },
  { class = "timing", programs = {
    { "os.time()", "'os'" }, { "os.clock()", "'os'" }, { "lv.time()", "'time'" },
    { "lv.profile(error)", "'profile'" }, { "lv.interpreter_seconds()", "'interpreter" },
    { "local x = lv.ones(64, 64) for k = 1, t * 3000 do x = x:matmul(x) end x:evaluate() "
      .. "return lv.zeros(1, 3, 12, 20)", "(max_work", place = "forward" },
    -- The last frame gets what the first ones leave.
    { "self.x = (self.x or lv.ones(1 << 20)) if t < 0.4 then return lv.zeros(1, 3, 12, 20) end "
      .. "for k = 1, 100 do self.x = (self.x + 1):evaluate() end return lv.zeros(1, 3, 12, 20)",
      "section '", place = "forward" },
  } },
}
