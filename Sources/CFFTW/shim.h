#pragma once
#include <fftw3.h>

// An array without a size, which Swift does not see.
static inline const char *lunerv_fftw_version(void) { return fftwf_version; }
