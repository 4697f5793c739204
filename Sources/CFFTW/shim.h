#pragma once
#include <fftw3.h>

// `fftwf_version` is an array without a size, which Swift cannot import.
static inline const char *lunerv_fftw_version(void) { return fftwf_version; }
