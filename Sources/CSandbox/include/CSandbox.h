#pragma once

#include <stdbool.h>
#include <stdint.h>

// What a process gives up before it runs a program that came in a file.

/// For good: opening, making and lengthening files, starting processes and threads, more than
/// `processor_seconds` of the processors' time (all of the process's past included), an address
/// space beyond `address_space` bytes, and, where the kernel can filter them, all system calls
/// but those for memory, waiting, clocks, and the descriptors that are open. The process ends with
/// the thread that started it. Returns whether the limits hold; the filter is on top of them.
bool lunerv_confine(uint64_t processor_seconds, uint64_t address_space);

/// Closes every descriptor from `first` on.
void lunerv_close_from(int first);

/// The file that this code was loaded from, a program or a library; null where that is not known.
const char *_Nullable lunerv_image_path(void);
