#pragma once

/// What the build knows about itself: its instruction set, and its commit ("" if none was given, see
/// scripts/install). A small file of its own, so that a new commit recompiles nothing else.
const char *_Nonnull lunerv_build_march(void);
const char *_Nonnull lunerv_build_commit(void);
