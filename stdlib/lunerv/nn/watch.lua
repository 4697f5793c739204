-- Who is told which module is being computed: lunerv.profile, while it measures.
--   enter(stack)   the last module of the stack begins
--   leave(stack)   the one that was last has ended
return {}
