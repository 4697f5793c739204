-- Hooks on the computation of modules; lv.profile sets them while it measures.
--   enter(stack)   the last module of the stack starts
--   leave(stack)   the last module has ended
return {}
