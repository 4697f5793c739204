"""The rounds of a soak: runs that are started, stopped at random times, resumed, and compared with
undisturbed ones."""

import glob
import hashlib
import json
import os
import shutil
import time

from soaking.judging import members
from soaking.processes import EVENTS, TIDY, Failure, Run, call, disturb, name_of

TINY = ["--model", "hnerv_boost", "--strides", "2,2", "--fc-dim", "6", "--enc-dim", "4,2",
        "--ch-t", "4", "--pe-levels", "4"]
PLANS = ("boost", "fast", "batches", "best", "soap", "own", "echo", "patches", "small")
COMPRESSIONS = {
    "segments": ["--gop", "4", "--epochs", "12", "--compress-epochs", "12"],
    "segments of two": ["--gop", "2", "--epochs", "12", "--compress-epochs", "8"],
    "cold segments": ["--gop", "3", "--no-warm-start", "--epochs", "12", "--compress-epochs", "8"],
    "a rate": ["--bpp", "0.9", "--epochs", "8", "--compress-epochs", "10"],
    "segments at a rate": ["--gop", "4", "--bpp", "4", "--epochs", "3",
                           "--compress-epochs", "4"],
    "three steps": ["--method", "three_step", "--epochs", "16", "--compress-epochs", "10"],
}
FILES = ("plain", "segments", "own", "modelled")
MOST_STOPS = 5  # of one run, which then runs to its end


def write_clip(path, width=32, height=24, frames=6):
    """A Y4M clip in 4:4:4 that moves and is not flat."""
    with open(path, "wb") as clip:
        clip.write(b"YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C444\n" % (width, height))
        for frame in range(frames):
            clip.write(b"FRAME\n")
            for plane in range(3):
                clip.write(bytes(32 + (5 * x + 3 * y * (plane + 1) + 11 * frame) % 192
                                 for y in range(height) for x in range(width)))


class Deck:
    """All events in a random order, again and again, so that none is forgotten."""

    def __init__(self, random):
        self.random, self.left = random, []

    def next(self):
        if not self.left:
            self.left = list(EVENTS)
            self.random.shuffle(self.left)
        return self.left.pop()


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def tensors_of(path):
    """The bytes of all tensors of a safetensors file; its header contains the time as well."""
    with open(path, "rb") as file:
        data = file.read()
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little"):]).hexdigest()


def difference(got, expected):
    """The first entry in which two dictionaries differ, as the end of a message."""
    if not isinstance(got, dict):
        return ""
    for key in sorted({*got, *expected}):
        if got.get(key) != expected.get(key):
            return f": {key}: {got.get(key)} instead of {expected.get(key)}"
    return ""


def temporaries(folder):
    return glob.glob(os.path.join(folder, "**", ".lunerv-*"), recursive=True)


class Rounds:
    """Runs rounds of a kind by name: `train`, `compress`, `decode`."""

    def __init__(self, world, random):
        self.world, self.random, self.deck = world, random, Deck(random)
        self.folder = world.folder("rounds")
        self.undisturbed, self.chosen, self.number = {}, set(), 0
        self.kinds = ("train", "compress", "decode")

    def run(self, kind):
        ledger = self.world.ledger
        self.number += 1
        number = self.number
        folder = os.path.join(self.folder, f"{number:06d}-{kind}")
        os.makedirs(folder)
        try:
            getattr(self, kind)(folder)
            shutil.rmtree(folder)
        except (Failure, OSError, ValueError) as failure:
            ledger.fail(f"round {number}, {kind}", f"{failure} (in {folder})")
        ledger.count("rounds", kind)

    def choice(self, what, names):
        """A random name; in the first call for `what`, names[0], which a short soak always runs."""
        first = what not in self.chosen
        self.chosen.add(what)
        return names[0] if first else self.random.choice(names)

    # Stopping and resuming ---------------------------------------------------------------------

    def until_done(self, kind, words, log, seconds, folder):
        """Runs the words until they succeed, disturbed on the way at most MOST_STOPS times."""
        ledger = self.world.ledger
        stops = self.random.randint(1, MOST_STOPS)
        while True:
            # A run that ends before it opens its folder does not see what a killed one left there.
            left = set(temporaries(folder))
            run, cause = Run(self.world, words, log), None
            while stops > 0:
                # Early times are as good as late ones.
                time.sleep(self.random.uniform(0, 1.1) ** 2 * seconds)
                event = self.deck.next()
                ended = disturb(run, event, self.random)
                if ended is None:
                    self.deck.left.append(event)
                    break
                stops -= 1
                ledger.count("interruptions", kind)
                ledger.count("signals", name_of(event))
                if ended:
                    cause = event
                    break
            code = run.end()
            if code == 0:
                return
            if cause is None:
                raise Failure(f"exit code {code}: {run.said()}")
            new = [path for path in temporaries(folder) if path not in left]
            if code in TIDY.values() and new:
                raise Failure(f"it was asked to end and left {new[0]}")
            ledger.count("resumes", kind)

    def same(self, kind, what, got, expected):
        self.world.ledger.count("comparisons", kind)
        if got != expected:
            raise Failure(f"{what} differ from those of the undisturbed run{difference(got, expected)}")

    # Training -------------------------------------------------------------------------------------

    def losses(self, path):
        """Losses by step. A repeated step must have the same loss, to the last bit."""
        found = {}
        with open(path, encoding="ascii") as log:
            for line in log:
                name, step, loss = line.split()
                key = (name.replace("disturbed", "run").replace("whole", "run"), int(step))
                if found.setdefault(key, loss) != loss:
                    raise Failure(f"step {step} had the loss {found[key]}, and {loss} when repeated")
        return found

    def outcome(self, out):
        """For each folder with a checkpoint in `out`: its last tensors, and its metrics."""
        facts = {}
        for path, _, names in sorted(os.walk(out)):
            last = max((n for n in names if n.startswith("checkpoint-")), default=None)
            if last is None:
                continue
            with open(os.path.join(path, "metrics.json"), encoding="utf-8") as file:
                metrics = json.load(file)
            kept = {name: metrics.get(name) for name in (
                "psnr", "ms_ssim", "psnr_8bit", "steps", "parameters_stored", "seed")}
            facts[os.path.relpath(path, out)] = (
                last, tensors_of(os.path.join(path, last)), kept,
                tensors_of(os.path.join(path, "best.safetensors"))
                if "best.safetensors" in names else None)
        return facts

    def train(self, folder):
        plan, threads = self.choice("plans", PLANS), str(self.random.choice((1, 2)))
        epochs = str(self.random.choice((8, 20)))
        script = os.path.join(self.world.scripts, "train.lua")

        def words(out, number):
            return ["run", script, self.world.clip, out, plan, number, epochs]

        if (plan, epochs) not in self.undisturbed:
            out = os.path.join(folder, "whole")
            began = time.monotonic()
            # Undisturbed, and with another number of threads.
            call(self.world, words(out, "2" if threads == "1" else "1"), out)
            self.undisturbed[plan, epochs] = (
                self.losses(out + ".losses"), self.outcome(out), time.monotonic() - began)
        losses, outcome, seconds = self.undisturbed[plan, epochs]
        out = os.path.join(folder, "disturbed")
        self.until_done("train", words(out, threads), out, seconds, folder)
        self.same("train", f"{plan}: losses", self.losses(out + ".losses"), losses)
        self.same("train", f"{plan}: tensors and metrics", self.outcome(out), outcome)
        if temporaries(folder):
            raise Failure(f"temporary left: {temporaries(folder)[0]}")

    # Compression ----------------------------------------------------------------------------------

    def compress(self, folder):
        name = self.choice("compressions", list(COMPRESSIONS))

        def words(path):
            threads = str(self.random.choice((1, 2)))
            return ["compress", self.world.clip, "-o", path, "--threads", threads,
                    "--checkpoint-steps", "7", "--resume", *COMPRESSIONS[name], *TINY]

        if name not in self.undisturbed:
            path, began = os.path.join(folder, "whole.lnv"), time.monotonic()
            call(self.world, words(path), path)
            self.undisturbed[name] = digest_of(path), time.monotonic() - began
        digest, seconds = self.undisturbed[name]
        path = os.path.join(folder, "clip.lnv")
        self.until_done("compress", words(path), path, seconds, folder)
        self.same("compress", f"{name}: bytes", digest_of(path), digest)
        call(self.world, ["eval", path, self.world.clip, "--json"], path)
        if temporaries(folder):
            raise Failure(f"temporary left: {temporaries(folder)[0]}")

    # Decoding -------------------------------------------------------------------------------------

    def decode(self, folder):
        """A file is decoded completely, over an old one; after each stop there is the old or the
        new file, and nothing between."""
        name = self.choice("files", FILES)
        source = os.path.join(self.world.out, "files", name + ".lnv")
        if source not in self.undisturbed:
            path, began = os.path.join(folder, "whole.mkv"), time.monotonic()
            call(self.world, ["decompress", source, "-o", path], path)
            self.undisturbed[source] = digest_of(path), time.monotonic() - began
        digest, seconds = self.undisturbed[source]
        path = os.path.join(folder, "clip.mkv")
        old = hashlib.sha256(b"old").hexdigest()
        for _ in range(self.random.randint(1, 4)):
            with open(path, "wb") as file:
                file.write(b"old")
            run = Run(self.world, ["decompress", source, "-o", path, "--threads", "1"], path)
            time.sleep(self.random.uniform(0, 1.1) * seconds)
            event = self.deck.next()
            ended = disturb(run, event, self.random)
            if ended is not None:
                self.world.ledger.count("interruptions", "decode")
                self.world.ledger.count("signals", name_of(event))
            code = run.end()
            found = digest_of(path)
            self.same("decode", f"{name}: bytes", found if code == 0 else digest, digest)
            if found not in (old, digest):
                raise Failure(f"{name}: neither the old file nor the new one, after {code}")
        if code != 0:
            self.world.ledger.count("resumes", "decode")
            call(self.world, ["decompress", source, "-o", path], path)
            self.same("decode", f"{name}: bytes", digest_of(path), digest)
        if members(run.pid):
            raise Failure("a decoder is still running")
