"""Runs the commands that figures come from."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time


class Failure(Exception):
    """A command that failed, or that left no figures."""


class Runner:
    def __init__(self, root, o, version=""):
        self.root, self.quick = root, o.quick
        built = os.path.join(root, ".build", "release", "lunerv")
        self.program = o.lunerv or (built if os.path.exists(built) else shutil.which("lunerv"))
        if not self.program:
            sys.exit("figures: lunerv is not built (swift build -c release)")
        self._scratch = tempfile.mkdtemp(prefix="lunerv-figures-") if o.quick else None
        self.work = self._scratch or os.path.abspath(o.work or os.path.join(root, "runs/figures", version))
        os.makedirs(self.work, exist_ok=True)
        self._clip = os.path.abspath(o.clip) if o.clip else None

    def close(self):
        if self._scratch:
            shutil.rmtree(self._scratch)

    def path(self, *names):
        return os.path.join(self.work, *names)

    def call(self, *words):
        """Runs a command in the project's folder; returns its output and its seconds."""
        print("+ " + shlex.join(words), file=sys.stderr, flush=True)
        began = time.monotonic()
        done = subprocess.run(words, cwd=self.root, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE)
        if done.returncode != 0:
            raise Failure(f"{shlex.join(words)} ended with {done.returncode}")
        return done.stdout, time.monotonic() - began

    def lunerv(self, *words):
        return self.call(self.program, *map(str, words))

    def script(self, name, *words, quick=()):
        """A script of this folder; `quick` are the words that shorten it."""
        return self.lunerv("run", f"scripts/{name}.lua", *words, *(quick if self.quick else ()))

    def json(self, *names):
        try:
            with open(self.path(*names)) as file:
                return json.load(file)
        except (OSError, ValueError) as problem:
            raise Failure(str(problem))

    @staticmethod
    def parse(text):
        """The object that `--json` prints, after any other lines."""
        lines = [line for line in text.splitlines() if line.startswith("{")]
        if not lines:
            raise Failure(f"expected a JSON object, got {text.strip()[-200:]!r}")
        return json.loads(lines[-1])

    def clip(self):
        """Big Buck Bunny of 320x180, 132 frames."""
        if not self._clip:
            film, scaled = self.film("bunny_720p"), self.path("bunny_320x180.mkv")
            if not os.path.exists(scaled):
                self.script("figuring/scaled", film, scaled, 180, 320)
            self._clip = scaled
        return self._clip

    def film(self, name):
        self.call("scripts/fetch-samples", self.path("samples"))
        return self.path("samples", name + ".mp4")

    def machine(self):
        model = "unknown"
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    model = line.split(":", 1)[1].strip()
                    break
        return f"{model}, {len(os.sched_getaffinity(0))} cores"
