"""lunerv started, watched and ended: as a process with a log, and at a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

from soaking.judging import catches, computed, members

# The three signals that ask a run to end, and its exit codes then.
TIDY = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
PAUSES = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
# The reader lives, so SIGPIPE is a stray signal; the library itself uses SIGURG.
HARMLESS = (signal.SIGPIPE, signal.SIGURG, signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT)
DEADLY = tuple(s for s in sorted(signal.valid_signals())
               if s <= signal.SIGSYS and s not in TIDY and s not in PAUSES and s not in HARMLESS)
# The disturbances of a run: each signal, Ctrl-C twice, and a reader that closes its output.
DOUBLE, READER = "SIGINT twice", "reader gone"
EVENTS = (*TIDY, *PAUSES, *HARMLESS, *DEADLY, signal.SIGKILL, signal.SIGKILL, DOUBLE, READER)


def name_of(event):
    return event if isinstance(event, str) else signal.Signals(event).name


class Failure(Exception):
    """A result that should not occur."""


class World:
    """The context of a soak: program, folder, ledger, random numbers, clock."""

    def __init__(self, program, out, ledger, random):
        self.program, self.out, self.ledger, self.random = program, out, ledger, random
        self.began = time.monotonic()
        self.scripts = os.path.dirname(os.path.abspath(__file__))
        self.clip = os.path.join(out, "clip.y4m")
        self.ending = threading.Event()

    def seconds(self):
        return time.monotonic() - self.began

    def folder(self, name):
        path = os.path.join(self.out, name)
        os.makedirs(path, exist_ok=True)
        return path

    def environment(self, temporary):
        return {
            **os.environ, "TMPDIR": self.folder(temporary), "SWIFT_BACKTRACE": "enable=no",
            "LUNERV_HISTORY": os.path.join(self.out, "history"),
        }


class Run:
    """One process of lunerv in its own session. Its output is in `log`, or goes to a pipe
    that a thread reads; its errors are in `log`.err."""

    def __init__(self, world, words, log, temporary="tmp", stdin=None):
        self.words, self.log = words, log
        with open(log + ".err", "ab") as err:
            self.process = subprocess.Popen(
                [world.program, *words], stdin=stdin or subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=err, start_new_session=True,
                env=world.environment(temporary))
        self.pid = self.process.pid
        self.lines, self._rest = [], b""
        self._leave = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        out = self.process.stdout.fileno()
        while not self._leave.is_set():
            if select.select([out], [], [], 0.05)[0]:
                data = os.read(out, 1 << 16)
                if not data:
                    break
                *whole, self._rest = (self._rest + data).split(b"\n")
                self.lines = (self.lines + [w.decode(errors="replace") for w in whole])[-400:]
        self.process.stdout.close()

    def leave(self):
        """Stops reading its output."""
        self._leave.set()
        self._reader.join()

    def is_over(self):
        return self.process.poll() is not None

    def send(self, number, to_all=False):
        if not self.is_over():
            (os.killpg if to_all else os.kill)(self.pid, number)

    def said(self):
        """The end of its error stream."""
        try:
            with open(self.log + ".err", "rb") as err:
                return err.read()[-600:].decode(errors="replace").strip()
        except OSError:
            return ""

    def end(self, patience=180.0):
        """Its exit code, once it and all that it started are gone. A process that computes may take
        long on a busy machine; one that has computed nothing for `patience` seconds is stuck."""
        spent, since = -1.0, time.monotonic()
        while (code := self.process.poll()) is None:
            time.sleep(0.02)
            now = time.monotonic()
            if now - since < patience / 10:
                continue
            if (more := computed(self.pid)) > spent:
                spent, since = more, now
            elif now - since > patience:
                os.killpg(self.pid, signal.SIGKILL)
                self.process.wait()
                raise Failure(f"it computed nothing for {patience:.0f} s and did not end")
        self._reader.join(5)
        for _ in range(100):
            left = members(self.pid)
            if not left:
                return code
            time.sleep(0.05)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        raise Failure(f"it ended with {code} and left {len(left)} processes behind")


def call(world, words, log, temporary="tmp"):
    """Runs lunerv to its end; returns its output lines. Raises Failure unless it exits with 0."""
    run = Run(world, words, log, temporary)
    code = run.end()
    if code != 0:
        raise Failure(f"exit code {code}: {run.said()}")
    return run.lines


def disturb(run, event, random):
    """Causes the event; returns whether it ended the run, None if it had ended before.
    Raises if the effect is not that of such an event."""
    if run.is_over():
        return None
    # A program that has just been started has no handlers yet. What ends it then is the signal itself,
    # which a busy machine delivers late: where it should be ignored, wait for the handler.
    listens = catches(run.pid, event) if event in TIDY else True
    while event == signal.SIGPIPE and not catches(run.pid, event):
        if run.is_over():
            return None
        time.sleep(0.002)
    to_all = random.random() < 0.5
    if event in PAUSES or event in HARMLESS:
        run.send(event, to_all)
        if event in PAUSES:
            time.sleep(random.uniform(0, 0.3))
            run.send(signal.SIGCONT, to_all)
        time.sleep(0.01)
        code = run.process.poll()
        if code not in (None, 0):
            raise Failure(f"{name_of(event)} ended it with {code}: {run.said()}")
        return code is not None and code != 0
    if event == READER:
        run.leave()
        code = run.end()
        if code not in (0, 1):
            raise Failure(f"its reader left, and it ended with {code}: {run.said()}")
        return code != 0
    if event == DOUBLE:
        run.send(signal.SIGINT)
        time.sleep(random.uniform(0, 0.05))
        run.send(signal.SIGINT)
        expected = {0, 130, -signal.SIGINT}
    else:
        run.send(event, to_all)
        expected = {0, TIDY.get(event, -event)} | (set() if listens else {-event})
    code = run.end()
    if code not in expected:
        raise Failure(f"{name_of(event)} ended it with {code}: {run.said()}")
    return code != 0


class Terminal:
    """lunerv repl at its own terminal."""

    def __init__(self, world):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                os.execve(world.program, [world.program, "repl"],
                          {**world.environment("tmp-prompt"), "TERM": "xterm", "LANG": "C.UTF-8"})
            finally:
                os._exit(127)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", 40, 160, 0, 0))
        self.text, self._raw = "", ""

    def type(self, text):
        data = text.encode()
        while data:
            data = data[os.write(self.master, data):]

    def expect(self, text, within=300.0):
        """Waits until the text is shown, after the text of the previous call."""
        until = time.monotonic() + within
        while text not in self.text:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise Failure(f"the prompt did not show '{text}': …{self.text[-300:]}")
            try:
                data = os.read(self.master, 1 << 16)
            except OSError:
                data = b""
            if not data:
                raise Failure(f"the prompt ended before '{text}': …{self.text[-300:]}")
            # An escape sequence may come in pieces.
            raw = self._raw + data.decode("latin-1")
            whole = re.sub(r"\x1b(\[[0-9;?]*)?$", "", raw)
            self._raw = raw[len(whole):]
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.|\r", "", whole)
            self.text = self.text[-65536:] + plain
        before, _, self.text = self.text.partition(text)
        return before

    def end(self):
        """Ctrl-D: it must end without an error."""
        self.type("\x04")
        until = time.monotonic() + 30
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.master)
                if status != 0:
                    raise Failure(f"the prompt ended with status {status}")
                return
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    os.read(self.master, 1 << 16)
                except OSError:
                    pass
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise Failure("the prompt did not end")
