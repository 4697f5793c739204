#pragma once

/// The processor type that OpenBLAS has kernels for and uses: "SkylakeX", "Haswell", "Zen".
///
/// OpenBLAS finds it by the processor's model number. A processor that is newer than the library
/// gets the kernels of 2004 ("Prescott"), which are four to five times slower. So a program that
/// contains this chooses them by instruction set, before `main` or when it loads the Lua module.
/// The environment variable OPENBLAS_CORETYPE overrides both.
const char *_Nonnull lunerv_blas_core(void);
