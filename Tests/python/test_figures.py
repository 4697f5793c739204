"""scripts/figures: the measured figures and the documents that show them agree."""

import json
import os
import sys
import tempfile
import types
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts"))

from figuring import documents  # noqa: E402
from figuring.runner import Failure, Runner  # noqa: E402
from figuring.sections import FIELD, GAINS, KINDS, PARTS, RATES, SECTIONS, SIZES, TASKS, table  # noqa: E402
from figuring.store import Store  # noqa: E402

DECODED = {"psnr": 25.5, "hidden": 9.25}


def row(name, **more):
    return {"name": name, "parameters": 1234, "psnr": 24.5, "ms_ssim": 0.9, "bytes": 1000,
            "psnr_file": 24.25, "gain": None, **more}


def points(bpp):
    return [{"asked": r, "bpp": bpp * float(r), "psnr": 28 + k} for k, r in enumerate(RATES)]


VALUES = {
    "quickstart": {"bytes": 33879, "bpp": 0.098, "psnr": 29.5, "x264": 32.3, "frames": 48,
                   "minutes": 8.2, "cores": 2},
    "recipes": {"ten": {k: {"published": [24.0, 25.0], "fast": [31.0, 32.0]} for k in SIZES},
                "five": [30.4]},
    "time": {"to": 26.4, "sides": [{"program": "PyTorch", "recipe": "published", "passes": 10,
                                    "head_scale": None, "psnr": 26.5, "seconds": 538.0}]},
    "minute": {"bunny_720p": {"psnr": 27.5, "seconds": 62.0},
               "carphone": {"psnr": 33.1, "seconds": 61.0}},
    "curve": {"curves": [{"name": "lunerv", "points": points(0.98)},
                         {"name": "x265 veryslow", "points": points(1.0)}],
              "bd_rates": {"x265 veryslow": 48.7}, "minutes": 14, "shared": 6.5},
    "gains": [row(name, bytes=1000 - 10 * k) for k, name in enumerate(GAINS)],
    "boost": [row(name, gain=-0.5) for name in KINDS],
    "together": [row(n) for n in ("plain", "sine", "tat", "loss", "cem", "all")],
    "parts": [row(name, gain=1.5) for name in PARTS],
    "tasks": {"unseen": 65, **{k: {t: DECODED for t in TASKS} for k in ("hnerv", "hnerv_boost")}},
    "field": {name: {"psnr": 30.0 - k, "bytes": 93000, "seconds": 239.0}
              for k, name in enumerate(FIELD)},
    "speed": {"tables": "`lunerv bench`: A processor, 2 threads, PyTorch 2.13.\n\n"
                        "| | lunerv | PyTorch as installed | PyTorch at its best | memory | PyTorch's |\n"
                        "|---|---|---|---|---|---|\n"
                        "| HNeRV, 720p, training step | 1 s | 2 s | 3 s | 1 GB | 2 GB |"},
}


def copy_of_documents():
    folder = tempfile.TemporaryDirectory()
    for document in documents.DOCUMENTS:
        path = os.path.join(folder.name, document)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(os.path.join(ROOT, document)) as source, open(path, "w") as file:
            file.write(source.read())
    return folder


class Documents(unittest.TestCase):
    def test_these_documents_agree(self):
        self.assertEqual(documents.differences(ROOT, Store(ROOT).values), [])

    def test_every_section_is_shown(self):
        self.assertEqual(set(VALUES), set(SECTIONS))
        shown = {block.name for block in documents.blocks_of(ROOT)}
        self.assertEqual(shown, set(documents.rendered(VALUES)))

    def test_tables_have_as_many_cells_in_each_row(self):
        for name, text in documents.rendered(VALUES).items():
            widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
            self.assertLessEqual(len(widths), 1, f"{name}: {text}")

    def test_what_is_written_agrees_until_it_is_edited(self):
        with copy_of_documents() as root:
            self.assertEqual(set(documents.write(root, VALUES)), set(documents.DOCUMENTS))
            self.assertEqual(documents.differences(root, VALUES), [])
            self.assertEqual(documents.write(root, VALUES), [])
            path = os.path.join(root, "README.md")
            with open(path) as file:
                text = file.read()
            self.assertIn("| HNeRV, 720p, training step | 1 s | 2 s | 3 s |", text)
            with open(path, "w") as file:
                file.write(text.replace("31.5 dB", "41.5 dB"))
            self.assertEqual(len(documents.differences(root, VALUES)), 1)

    def test_unknown_and_missing_blocks_are_named(self):
        with copy_of_documents() as root:
            path = os.path.join(root, "README.md")
            with open(path) as file:
                text = file.read()
            with open(path, "w") as file:
                file.write(text.replace("figures: picture", "figures: portrait"))
            found = documents.differences(root, {})
            self.assertTrue(any("'portrait'" in line for line in found), found)
            self.assertTrue(any("'picture'" in line for line in found), found)

    def test_figures(self):
        texts = documents.rendered(VALUES)
        self.assertIn("| HNeRV-Boost (mean of two seeds) | 24.5 dB | 31.5 dB |", texts["recipes"])
        self.assertIn("| x265 veryslow | 28.00 dB | 29.00 dB | 30.00 dB | 31.00 dB | +48.7 % |",
                      texts["curve"])
        self.assertIn("| −1.0 % |", texts["gains"])
        self.assertIn("| −0.50 |", texts["boost"])
        self.assertEqual(table(["", "a"], [["b", 1]]), "|  | a |\n|---|---:|\n| b | 1 |")


class Measuring(unittest.TestCase):
    def runner(self, quick=True):
        o = types.SimpleNamespace(quick=quick, lunerv=sys.executable, work=None, clip=__file__)
        run = Runner(ROOT, o)
        self.addCleanup(run.close)
        return run

    def test_a_command_that_fails_is_named(self):
        with self.assertRaisesRegex(Failure, "ended with 3"):
            self.runner().lunerv("-c", "raise SystemExit(3)")

    def test_objects_and_files(self):
        run = self.runner()
        self.assertEqual(run.parse('words\n{"a": 1}\n'), {"a": 1})
        with self.assertRaises(Failure):
            run.parse("words")
        with self.assertRaises(Failure):
            run.json("none.json")

    def test_figures_know_their_version(self):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "Sources", "Support"))
            os.makedirs(os.path.join(root, "scripts", "bench"))
            version = os.path.join(root, "Sources", "Support", "Version.swift")
            for text in ("1.2.3", "1.2.4"):
                with open(version, "w") as file:
                    file.write(f'public static let text = "{text}"')
                store = Store(root)
                self.assertFalse(store.is_current("field"))
                store.put("field", VALUES["field"], "a machine")
                self.assertTrue(Store(root).is_current("field"))
            with open(store.path) as file:
                self.assertEqual(json.load(file)["field"]["version"], "1.2.4")


if __name__ == "__main__":
    unittest.main()
