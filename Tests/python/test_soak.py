"""scripts/soak: what it takes for flat, and that it notices what is wrong."""

import contextlib
import io
import os
import random
import signal
import stat
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts"))

from soaking import judging, processes, rounds  # noqa: E402
from soaking.judging import Ledger, Series, catches, members, of_process, report, slope  # noqa: E402
from soaking.processes import Failure, Run, World, disturb  # noqa: E402


def judged(quantity, values, end=None):
    series = Series("trainer", quantity)
    for second, value in enumerate(values):
        series.add(second, value)
    return series.judged(0, len(values) if end is None else end)


class Judging(unittest.TestCase):
    def test_a_line_is_fitted(self):
        self.assertAlmostEqual(slope([(0, 1), (1, 3), (2, 5)]), 2)
        self.assertEqual(slope([(3, 1), (3, 9)]), 0)

    def test_what_wanders_is_flat(self):
        noise = random.Random(1)
        self.assertTrue(judged("memory", [80 + noise.uniform(-9, 9) for _ in range(500)])["flat"])
        self.assertTrue(judged("files", [noise.choice((5, 6, 7)) for _ in range(500)])["flat"])

    def test_what_is_warming_up_may_grow(self):
        self.assertTrue(judged("memory", [i if i < 100 else 100 for i in range(500)])["flat"])

    def test_a_leak_is_not_flat(self):
        noise = random.Random(2)
        self.assertFalse(
            judged("memory", [80 + 0.2 * i + noise.uniform(-9, 9) for i in range(500)])["flat"])
        self.assertFalse(judged("files", [5 + i // 100 for i in range(500)])["flat"])
        self.assertFalse(judged("threads", [3] * 250 + [6] * 250)["flat"])
        self.assertFalse(judged("temporary", [i // 50 for i in range(500)])["flat"])
        self.assertFalse(judged("tensors", [36 + i // 20 for i in range(500)])["flat"])

    def test_too_little_is_no_proof(self):
        self.assertFalse(judged("files", [5] * (judging.LEAST - 1))["flat"])
        self.assertFalse(judged("files", [])["flat"])

    def test_every_quantity_has_a_tolerance(self):
        own = of_process(os.getpid())
        self.assertEqual(set(own), {"memory", "files", "threads"})
        self.assertGreater(own["memory"], 1)
        for quantity in own:
            self.assertIn(quantity, judging.TOLERANCES)

    def test_a_failure_is_in_the_report(self):
        facts = {"seconds": 1, "seed": 1, "program": "p", "rounds": {"train": 1}, "resumes": {},
                "interruptions": {}, "comparisons": {}, "signals": {}, "prompt": {},
                "resources": [judged("files", list(range(50)))], "failures": ["train: lost"]}
        lines = report(facts)
        self.assertIn("FAILED train: lost", lines)
        self.assertEqual(lines[-1], "failed: 1")
        self.assertTrue(any(line.endswith("NOT FLAT") for line in lines))
        self.assertEqual(report({**facts, "failures": []})[-1], "passed")


class Comparing(unittest.TestCase):
    def test_the_first_difference_is_named(self):
        self.assertEqual(rounds.difference("ab", "cd"), "")
        self.assertEqual(rounds.difference({1: "a", 2: "b"}, {1: "a", 2: "c", 3: "d"}),
                         ": 2: b instead of c")
        self.assertEqual(rounds.difference({1: "a"}, {1: "a", 3: "d"}), ": 3: None instead of d")


class Disturbing(unittest.TestCase):
    """With programs that stand for lunerv."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def world(self, script):
        path = os.path.join(self.folder.name, "program")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"#!{sys.executable}\n{script}")
        os.chmod(path, stat.S_IRWXU)
        world = World(path, self.folder.name, Ledger(), random.Random(1))
        rounds.write_clip(world.clip)
        return world

    def start(self, script):
        world = self.world(script)
        run = Run(world, [], os.path.join(self.folder.name, "log"))
        while not run.lines and not run.is_over():
            time.sleep(0.01)
        return run

    TIDY = ("import signal, sys, time\n"
            "signal.signal(signal.SIGINT, lambda *_: sys.exit({code}))\n"
            "print('ready', flush=True)\ntime.sleep(30)\n")

    def test_an_end_by_a_signal_has_its_code(self):
        run = self.start(self.TIDY.format(code=130))
        self.assertTrue(catches(run.pid, signal.SIGINT))
        self.assertFalse(catches(run.pid, signal.SIGTERM))
        self.assertTrue(disturb(run, signal.SIGINT, random.Random(1)))

    def test_another_code_is_a_failure(self):
        with self.assertRaisesRegex(Failure, "SIGINT ended it with 3"):
            disturb(self.start(self.TIDY.format(code=3)), signal.SIGINT, random.Random(1))

    def test_pauses_end_nothing(self):
        run = self.start(self.TIDY.format(code=130))
        for event in (signal.SIGSTOP, signal.SIGURG, signal.SIGWINCH):
            self.assertFalse(disturb(run, event, random.Random(1)))
        self.assertTrue(disturb(run, signal.SIGKILL, random.Random(1)))
        self.assertIsNone(disturb(run, signal.SIGKILL, random.Random(1)))

    def test_processes_that_are_left_are_a_failure(self):
        run = self.start("import subprocess\nsubprocess.Popen(['sleep', '60'])\nprint('ready')\n")
        with self.assertRaisesRegex(Failure, "left 1 processes behind"):
            run.end()
        time.sleep(0.2)
        self.assertEqual(members(run.pid), [])

    def test_what_computes_has_time_and_what_hangs_has_none(self):
        run = self.start("import time\nprint('ready', flush=True)\nend = time.time() + 3\n"
                         "while time.time() < end: pass\n")
        self.assertEqual(run.end(patience=2.0), 0)
        run = self.start("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
        with self.assertRaisesRegex(Failure, "computed nothing"):
            run.end(patience=0.5)

    def test_rounds_notice_other_bytes(self):
        # Every second file is another one.
        world = self.world(
            "import os, sys\nout = sys.argv[sys.argv.index('-o') + 1]\n"
            "count = sys.argv[0] + '.count'\nopen(count, 'a').write('x')\n"
            "open(out, 'w').write(str(os.path.getsize(count) % 2))\n")
        kept = rounds.Rounds(world, random.Random(1))
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            for _ in range(4):
                kept.run("decode")
        self.assertGreater(len(world.ledger.failures), 0)
        self.assertIn("decode", world.ledger.failures[0])
        self.assertIn("FAILED round", said.getvalue())

    def test_rounds_notice_a_loss_that_changed(self):
        world = self.world("")
        path = os.path.join(self.folder.name, "disturbed.losses")
        with open(path, "w", encoding="ascii") as log:
            log.write("disturbed 1 0x1p+0\ndisturbed 2 0x1p-1\ndisturbed 2 0x1p-1\n")
        kept = rounds.Rounds(world, random.Random(1))
        self.assertEqual(kept.losses(path), {("run", 1): "0x1p+0", ("run", 2): "0x1p-1"})
        with open(path, "a", encoding="ascii") as log:
            log.write("disturbed 2 0x1p-2\n")
        with self.assertRaisesRegex(Failure, "step 2 had the loss"):
            kept.losses(path)

    def test_all_signals_are_dealt(self):
        deck = rounds.Deck(random.Random(1))
        dealt = {deck.next() for _ in processes.EVENTS}
        self.assertEqual(dealt, set(processes.EVENTS))
        numbers = {event for event in dealt if not isinstance(event, str)}
        self.assertEqual(numbers, set(range(1, 32)) & signal.valid_signals())


if __name__ == "__main__":
    unittest.main()
