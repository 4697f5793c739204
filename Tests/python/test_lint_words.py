"""scripts/lint-words: it finds the words of CONTRIBUTING.md, in prose alone, and can fail."""

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts", "lint-words")

loader = importlib.machinery.SourceFileLoader("lint_words", SCRIPT)
spec = importlib.util.spec_from_loader("lint_words", loader)
lint = importlib.util.module_from_spec(spec)
loader.exec_module(lint)

# Words that stand in no table, so that this file passes the lint.
PATTERN = lint.pattern_of(["xyzzy", "plugh of", "frob"])


def lines(text, suffix):
    return [line for line, _ in lint.findings(text, suffix, PATTERN)]


class Finding(unittest.TestCase):
    def test_comments_and_strings_of_every_language(self):
        samples = {
            ".swift": ['/// Xyzzy.\n', 'let a = "xyzzy"\n', 'let a = """\n  xyzzy\n  """\n', '/* xyzzy */\n',
                       'f("\\(a["key"]) xyzzy")\n'],
            ".c": ['// xyzzy\n', 'char *a = "xyzzy";\n', "char q = '\"'; // xyzzy\n"],
            ".h": ['/// xyzzy\n'],
            ".lua": ['--- xyzzy\n', '--[[\nxyzzy ]]\n', 'local a = "xyzzy"\n', "local a = 'xyzzy'\n",
                     'local a = [=[\nxyzzy]=]\n', 'local a = b -- xyzzy\n'],
            ".py": ['# xyzzy\n', '"""A\nxyzzy."""\n', "a = 'xyzzy'\n", 'a = f"{b} xyzzy"\n'],
            ".sh": ['# xyzzy\n', 'echo "xyzzy"\n'],
            ".md": ['A xyzzy.\n', '| a | xyzzy |\n'],
        }
        for suffix, texts in samples.items():
            for text in texts:
                with self.subTest(text=text):
                    self.assertEqual(len(lines(text, suffix)), 1)

    def test_names_of_functions(self):
        for text in ("func aFrobIsFound() {\n", "@Test func plughOfFrobs() {\n", "func isFrob()\n"):
            self.assertEqual(lines(text, ".swift"), [1], text)
        self.assertEqual(lines("func frobbing(frob: Int) { frob() }\n", ".swift"), [])

    def test_code_is_no_prose(self):
        for suffix, text in {".swift": "let xyzzy = frob()\n", ".lua": "local xyzzy = frob.xyzzy\n",
                             ".c": "int xyzzy(void) { return frob; }\n", ".py": "xyzzy = frob(1)\n",
                             ".json": '{"xyzzy": 1}\n'}.items():
            self.assertEqual(lines(text, suffix), [], suffix)

    def test_whole_words(self):
        self.assertEqual(lines("Xyzzy's and XYZZY, xyzzyx, un-xyzzy, xyzzy-like.\n", ".md"), [1, 1])

    def test_phrases_over_lines(self):
        self.assertEqual(lines("a\n-- a plugh\n--   of b\n", ".lua"), [2])
        self.assertEqual(lines('x(\n  "a plugh "\n  .. "of b")\n', ".lua"), [2])
        self.assertEqual(lines('x(\n  "a plugh "\n    + "of b")\n', ".swift"), [2])
        self.assertEqual(lines("plugh\nof\n", ".md"), [1])
        self.assertEqual(lines('a("plugh", "of")\n', ".lua"), [])
        self.assertEqual(lines("-- plugh\nf()\n-- of\n", ".lua"), [])

    def test_lines_are_those_of_the_file(self):
        self.assertEqual(lines('local a = [[\n\n]]\n-- b\n-- xyzzy\n"frob"\n', ".lua"), [5, 6])

    def test_exceptions(self):
        self.assertEqual(lines('f("xyzzy") -- words: allow\n-- frob\n', ".lua"), [2])


class Table(unittest.TestCase):
    def test_code_spans_of_the_last_column(self):
        with tempfile.NamedTemporaryFile("w", suffix=".md") as file:
            file.write("| a | b |\n|---|---|\n| `no` | `other` |\n\n| say | not this |\n|---|---|\n"
                       "| `said` here | `frob`, frobs, `plugh of` |\n| x | y |\n\n| z | `w` |\n")
            file.flush()
            self.assertEqual(lint.banned(file.name), ["frob", "plugh of"])

    def test_a_missing_table_is_an_error(self):
        with tempfile.NamedTemporaryFile("w", suffix=".md") as file:
            file.write("| say | rather |\n|---|---|\n| a | `b` |\n")
            file.flush()
            with self.assertRaises(SystemExit):
                lint.banned(file.name)


class Running(unittest.TestCase):
    def test_it_fails_on_each_word_of_the_table_and_names_the_line(self):
        phrases = lint.banned()
        self.assertGreater(len(phrases), 40)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.lua")
            with open(path, "w") as file:
                file.write("".join(f"local a = {i}\n-- {phrase}\n" for i, phrase in enumerate(phrases)))
            found = subprocess.run([SCRIPT, folder], capture_output=True, text=True)
            self.assertEqual(found.returncode, 1)
            for i, phrase in enumerate(phrases):
                self.assertIn(f"a.lua:{2 * i + 2}: '", found.stderr, phrase)
            with open(path, "w") as file:
                file.write("-- A plain comment.\n")
            found = subprocess.run([SCRIPT, folder], capture_output=True, text=True)
            self.assertEqual((found.returncode, found.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
