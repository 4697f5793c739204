#pragma once

#include <stdbool.h>
#include <stdint.h>

// What a process gives up before it reads a file that came from elsewhere.

/// For good: descriptors from 3 on, opening, making and lengthening files, starting processes and
/// threads, an address space that grows by more than `growth` bytes, new privileges, and all system
/// calls but those for memory, waiting, clocks, its own limit of processor time, and the descriptors
/// 0 to 2. The process ends with the thread that started it.
///
/// Each step is checked, and what holds is tried out at the end. `strict` false leaves out what the
/// system does not offer; the limits must hold all the same.
///
/// Returns null, or the step that failed, with the reason in errno.
const char *_Nullable lunerv_confine(uint64_t growth, bool strict);

/// From now on the process may take `seconds` of the processors' time; whole seconds, rounded up.
/// With `more` they are added to what it may take already.
bool lunerv_allow_seconds(uint64_t seconds, bool more);

/// Sends nine bytes to a descriptor when the process crashes: 3, and a number of eight bytes, the
/// lowest first: the signal, and 256 more where less than an eighth of the address space is left. The
/// thread that calls it gets a stack for that. Comes before `lunerv_confine`.
void lunerv_tell_crashes(int descriptor);

/// The file that this code was loaded from, a program or a library; null where that is not known.
const char *_Nullable lunerv_image_path(void);
