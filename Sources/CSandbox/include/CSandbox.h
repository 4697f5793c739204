#pragma once

#include <stdbool.h>
#include <stdint.h>

// What a process gives up before it reads an untrusted file.

/// Gives up, permanently: descriptors from 3 on; opening, making and extending files; starting
/// processes and threads; address space beyond `growth` more bytes; new privileges; and all system
/// calls except those for memory, waiting, clocks, the process's own limit of processor time, and
/// descriptors 0 to 2. The process ends with the thread that started it.
///
/// Checks each step, and at the end tests what can be tested. With `strict` false, steps that the
/// system does not offer are skipped; the limits must hold all the same.
///
/// Returns null, or the step that failed, with the reason in errno.
const char *_Nullable lunerv_confine(uint64_t growth, bool strict);

/// Limits the process to `seconds` of processor time from now on; whole seconds, rounded up. With
/// `more`, they are added to the present limit.
bool lunerv_allow_seconds(uint64_t seconds, bool more);

/// When the process crashes, sends nine bytes to a descriptor: 3, and a number of eight bytes,
/// lowest first: the signal, plus 256 if less than an eighth of the address space is left. The
/// calling thread gets a stack for that. Call it before `lunerv_confine`.
void lunerv_report_crashes(int descriptor);

/// The file that this code was loaded from, a program or a library; null if unknown.
const char *_Nullable lunerv_image_path(void);
