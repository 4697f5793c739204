"""The kinds of faults in faults.c, and the errors that a run may report for each."""

import re
import signal
import struct


class Kind:
    """always: a point tried in addition to the sample ("1:on"); stays: from the point on all calls
    fail; harmless: the run is unaffected; ends: signals by which a library may end the process
    (files stay whole, and resuming works); leaves: what cannot be removed stays; reason: what the
    line must name; aside: lines that a library prints itself."""

    def __init__(self, name, reason, always=None, stays=False, harmless=False, ends=(), leaves=False,
                 aside=None):
        self.name, self.reason = name, re.compile(reason, re.IGNORECASE)
        self.aside = aside and re.compile(aside)
        self.always, self.stays = always, stays
        self.harmless, self.ends, self.leaves = harmless, ends, leaves


# What any error of reading and writing may be reported as.
broken = r"input/output error|I/O error|cannot|could not|not all could be written"

kinds = {k.name: k for k in (
    Kind("write-full", r"no space left|not all could be written", stays=True),
    Kind("write-error", broken),
    Kind("write-short", "", always="1:on", harmless=True),
    Kind("read-error", broken),
    Kind("read-short", "", always="1:on", harmless=True),
    Kind("interrupt", "", always="2:every", harmless=True),
    Kind("sync-error", broken),
    Kind("close-error", broken),
    Kind("rename-error", broken),
    # Where files cannot be linked, there is another way.
    Kind("link-error", "", always="1:on", harmless=True),
    Kind("open-error", r"too many open files|cannot", always="1:on"),
    Kind("folder-error", r"cannot|too many open files|no space left|input/output error", leaves=True),
    Kind("clock-back", "", always="1", harmless=True),
    Kind("clock-forward", "", always="1", harmless=True),
    Kind("random", "", always="1:on", harmless=True),
    # One thread does the work of many.
    Kind("thread", r"thread|resource temporarily|not enough memory|cannot", always="1:on"),
    Kind("process", r"process|resource temporarily|cannot|popen", always="1:on"),
    Kind("memory-own", r"memory"),
    # Swift's runtime ends a process without memory: it writes through null in places, and its tables
    # of types trap.
    Kind("memory-swift", r"memory", ends=(-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGILL)),
    # A decoder without memory for a picture reports a damaged one. libavcodec asserts that a codec's
    # options can be set. Without memory for probing, no format is recognised.
    Kind("memory-video", r"memory|cannot|damaged|no known format|read back",
         ends=(-signal.SIGABRT,)),
    # x265 uses most memory without looking whether it has it; otherwise it prints that, and may go
    # on. It encodes only what others are compared with.
    Kind("memory-x265", r"memory|cannot|read back", ends=(-signal.SIGABRT, -signal.SIGSEGV),
         aside=r"x265 \[error\]: malloc"),
    # FFTW asserts, C++ throws.
    Kind("memory-math", r"memory|cannot", ends=(-signal.SIGABRT,)),
    Kind("memory-other", r"memory|cannot|refuses", ends=(-signal.SIGABRT,)),
)}

# Lines that are not the error itself.
aside = re.compile(r"^(warning|note): ")


def unclear(kind, outcome, plan):
    """Why the stderr of a run is not one clear line; None if it is."""
    code, stderr = outcome.returncode, outcome.stderr.decode(errors="replace")
    lines = [line for line in stderr.splitlines() if line and not aside.match(line)]
    lines = [line for line in lines if not plan.is_progress(line)
             and not (kind.aside and kind.aside.match(line))]
    if code == 0:
        return f"it succeeded and printed {lines}" if lines else None
    if code in (-signal.SIGSEGV, -signal.SIGILL) and code in kind.ends:
        return None  # nothing can be said any more
    if code != 1 and code not in kind.ends:
        return f"exit code {code}, not 1: {lines}"
    if kind.name.startswith("memory-"):
        lines = lines[-1:]  # after the library's own messages
    lines = plan.errors(lines)
    if len(lines) != 1:
        return f"{len(lines)} lines: {lines}"
    if not lines[0].startswith(plan.begins):
        return f"not the program's message: {lines}"
    reason = plan.reason(lines[0], outcome)
    # A process started by the program may end by a signal too.
    signalled = any(f"(signal {-s})" in reason for s in kind.ends)
    if not signalled and not kind.reason.search(reason):
        return f"no reason: {lines}"
    return None


# The layout of `struct state` in faults.c.
def counts(state):
    number, = struct.unpack_from("<Q", state)
    found = {}
    for i in range(number):
        name, count = struct.unpack_from("<24sQ", state, 8 + 32 * i)
        found[name.rstrip(b"\0").decode()] = count
    return found


def read_state(state):
    """The number of failed calls, the place of the first, and the temporary files made by mkstemp."""
    number, = struct.unpack_from("<Q", state)
    at = 8 + 32 * number
    hits, where, made = struct.unpack_from("<Q256sQ", state, at)
    names = [struct.unpack_from("<128s", state, at + 272 + 128 * i)[0] for i in range(min(made, 16))]

    def text(b):
        return b.split(b"\0")[0].decode(errors="replace")
    return hits, text(where), [text(n) for n in names]
