"""scripts/pth2safetensors.py: what PyTorch wrote is read as PyTorch reads it, without PyTorch, and
files that are not what they claim end in one line. The files are of scripts/bench/make_pth.py.

    python3 Tests/python/test_pth2safetensors.py
"""

import contextlib
import copy
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import types
import unittest
import zipfile
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = os.path.join(HERE, "files")
SCRIPT = os.path.join(HERE, "../../scripts/pth2safetensors.py")
sys.path.insert(0, os.path.dirname(SCRIPT))
import pth2safetensors  # noqa: E402  (after the path above)

NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
         "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
         "uint16": "U16"}
FORMS = {"F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "I16": "h", "I8": "b",
         "U8": "B", "BOOL": "?", "U16": "H"}


def read(path):
    """name -> (type, shape, values in a row)."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, body = json.loads(file.read(length)), file.read()
    header.pop("__metadata__")
    tensors, end = {}, 0
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        assert start == end, "the tensors leave gaps"
        end, data = stop, body[start:stop]
        if entry["dtype"] == "BF16":
            data = b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
        form = FORMS["F32" if entry["dtype"] == "BF16" else entry["dtype"]]
        values = struct.unpack("<%d%s" % (len(data) // struct.calcsize(form), form), data)
        tensors[name] = (entry["dtype"], entry["shape"], list(values))
    assert end == len(body), "bytes after the last tensor"
    return tensors


def row(values):
    """Nested lists as one."""
    if not isinstance(values, list):
        return [values]
    return [number for part in values for number in row(part)]


# Pickles by hand ---------------------------------------------------------------------------------


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integer(value):
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a\x09" + data


def whole(value):
    return b"\x80\x02" + value + b"."


def storage(key="0", count=4, kind="FloatStorage"):
    return (b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu")
            + integer(count) + b"tQ")


def tensor(stored, offset=0, shape=(4,), strides=(1,)):
    def numbers(values):
        return b"(" + b"".join(map(integer, values)) + b"t"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + integer(offset) + numbers(shape)
            + numbers(strides) + b"\x89}tR")


def dictionary(**entries):
    return b"}(" + b"".join(text(name) + value for name, value in entries.items()) + b"u"


FOUR = struct.pack("<4f", 1, 2, 3, 4)


def archive(content, data=FOUR, order=None, method=zipfile.ZIP_STORED, more=()):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        file.writestr("a/data.pkl", content)
        file.writestr("a/data/0", data)
        if order:
            file.writestr("a/byteorder", order)
        for name, value in more:
            file.writestr(name, value)
    return stream.getvalue()


class Hostile:
    """Runs a command where a pickle is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, ("touch '%s'" % self.path,)


class Conversion(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.out = os.path.join(self.folder, "out.safetensors")

    def run_script(self, *words):
        """The program within this process; what it raises fails the test."""
        streams = [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)]
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]), \
                mock.patch.object(sys, "argv", [SCRIPT, *words]):
            try:
                code = pth2safetensors.main()
            except SystemExit as stop:
                code = stop.code
        for stream in streams:
            stream.seek(0)
        return types.SimpleNamespace(
            returncode=code, stdout=streams[0].read(), stderr=streams[1].read())

    def converted(self, path, *words):
        result = self.run_script(path, self.out, *words)
        self.assertEqual(result.returncode, 0, result.stderr)
        return read(self.out)

    def written(self, data):
        path = os.path.join(self.folder, "in.pth")
        with open(path, "wb") as file:
            file.write(data)
        return path

    def refused(self, data, *parts, words=()):
        """`data`, or the file of a name, ends in one line with `parts`, and nothing is written."""
        path = data if isinstance(data, str) else self.written(data)
        result = self.run_script(path, self.out, *words)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertLess(len(result.stderr), 2000)
        for part in parts:
            self.assertIn(part, result.stderr)
        self.assertEqual([n for n in os.listdir(self.folder) if n != "in.pth"], [])

    # What PyTorch wrote --------------------------------------------------------------------------

    def test_every_file_holds_what_pytorch_says(self):
        with open(os.path.join(FILES, "expected.json")) as file:
            expected = json.load(file)
        compared = 0
        for name, tensors in expected.items():
            if not tensors:
                continue
            with self.subTest(name):
                got = self.converted(os.path.join(FILES, name + ".pth"))
                self.assertEqual(set(got), set(tensors))
                for key, (dtype, shape, values) in tensors.items():
                    self.assertEqual(got[key], (NAMES[dtype], shape, row(values)), key)
                    compared += 1
        self.assertEqual(compared, 76)

    def test_it_needs_the_standard_library_alone(self):
        words = [sys.executable, "-S", "-B", SCRIPT]
        subprocess.run([*words, os.path.join(FILES, "types.pth"), self.out], check=True,
                       capture_output=True)
        self.assertEqual(read(self.out), self.converted(os.path.join(FILES, "types.pth")))
        for name, code in (("model.pth", 1), ("none.pth", 1)):
            result = subprocess.run([*words, os.path.join(FILES, name), self.out],
                                    capture_output=True, text=True)
            self.assertEqual((result.returncode, result.stderr.count("\n")), (code, 1))
        self.assertEqual(subprocess.run(words, capture_output=True).returncode, 2)

    def test_wider_types_come_first_so_that_all_are_aligned(self):
        with open(os.path.join(FILES, "types.pth"), "rb") as file:
            self.converted(self.written(file.read()))
        with open(self.out, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        self.assertEqual(length % 8, 0)
        size = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
        for name, entry in header.items():
            if name != "__metadata__":
                self.assertEqual(entry["data_offsets"][0] % size.get(entry["dtype"], 1), 0, name)

    def test_prefixes_are_taken_off(self):
        path = os.path.join(FILES, "trained.pth")
        plain = self.converted(path)
        bare = self.converted(path, "--strip-prefix", "module.")
        self.assertEqual(bare, {n.removeprefix("module."): t for n, t in plain.items()})
        self.assertIn("0.weight", bare)
        twice = self.converted(path, "--strip-prefix", "module.", "--strip-prefix", "0.")
        self.assertIn("weight", twice)
        os.remove(self.out)
        self.refused(path, "no name begins with 'modul.'", words=("--strip-prefix", "modul."))
        alike = {"m.a": tensor(storage()), "a": tensor(storage())}
        self.refused(archive(whole(dictionary(**alike))),
                     "two tensors are named 'a'", words=("--strip-prefix", "m."))

    def test_a_key_names_an_inner_dictionary(self):
        path = os.path.join(FILES, "trained_legacy.pth")
        result = self.run_script(path, self.out)
        self.assertIn("using the entries of 'state_dict'", result.stderr)
        self.assertIn("with tensors (--key takes one): optimizer", result.stderr)
        self.assertEqual(self.converted(path, "--key", "state_dict"), read(self.out))
        moments = self.converted(path, "--key", "optimizer.state")
        self.assertEqual(len(moments), 12)
        self.assertEqual(moments["0.exp_avg"][1], [3, 2, 3, 3])
        os.remove(self.out)
        self.refused(path, "it has no 'states'", "known: state_dict, optimizer, epoch",
                     words=("--key", "states"))
        inner = dictionary(w=tensor(storage()))
        self.refused(archive(whole(dictionary(a=inner, b=inner))),
                     "several entries hold tensors: choose one by --key: a, b")

    def test_one_tensor_and_lists_of_them(self):
        one = self.converted(self.written(archive(whole(tensor(storage())))))
        self.assertEqual(one, {"tensor": ("F32", [4], [1, 2, 3, 4])})
        listed = whole(b"](" + tensor(storage()) + tensor(storage(), 1, (2,)) + b"e")
        several = self.converted(self.written(archive(listed)))
        self.assertEqual(several, {"0": ("F32", [4], [1, 2, 3, 4]), "1": ("F32", [2], [2, 3])})

    def test_big_endian_storages_are_turned(self):
        stored = whole(dictionary(a=tensor(storage()), b=tensor(storage(), 0, (2, 2), (1, 2))))
        data = struct.pack(">4f", 1, 2, 3, 4)
        got = self.converted(self.written(archive(stored, data, "big")))
        self.assertEqual(got["a"][2], [1, 2, 3, 4])
        self.assertEqual(got["b"][2], [1, 3, 2, 4])

    def test_types_become_f32_where_it_is_asked(self):
        path = os.path.join(FILES, "types.pth")
        wide, narrow = self.converted(path), self.converted(path, "--dtype", "f32")
        for name, (dtype, shape, values) in wide.items():
            expected = "F32" if dtype in ("F64", "F16", "BF16") else dtype
            self.assertEqual(narrow[name], (expected, shape, values), name)
        doubles = whole(dictionary(**{"big.weight": tensor(storage(kind="DoubleStorage"))}))
        data = struct.pack("<4d", 1, 1e39, 0.1, 2)
        os.remove(self.out)
        self.refused(archive(doubles, data), "'big.weight' has values beyond the range of f32",
                     words=("--dtype", "f32"))
        infinite = struct.pack("<4d", 1, float("-inf"), 0.1, 1e-60)
        got = self.converted(self.written(archive(doubles, infinite)), "--dtype", "f32")
        single = struct.unpack("<f", struct.pack("<f", 0.1))[0]
        self.assertEqual(got["big.weight"][2], [1, float("-inf"), single, 0])

    def test_a_list_names_what_is_there(self):
        result = self.run_script(os.path.join(FILES, "types.pth"), "--list")
        self.assertEqual(result.returncode, 0)
        lines = [line.split(None, 2) for line in result.stdout.splitlines()]
        self.assertEqual(lines[0], ["f64", "F64", "(5)"])
        self.assertIn(["bf16_view", "BF16", "(3, 2)"], lines)
        result = self.run_script(os.path.join(FILES, "quantised.pth"), "--list")
        self.assertEqual(result.stdout.split("\n")[0].split(), ["fc.weight", "quantised"])

    # What is refused -----------------------------------------------------------------------------

    def test_what_safetensors_cannot_hold_is_named(self):
        for name, what in (("quantised", "'fc.weight' is a quantised tensor"),
                           ("complex", "'z' is a complex tensor"),
                           ("negated", "'n' is a negated or conjugated tensor"),
                           ("sparse", "'s' is a sparse tensor")):
            self.refused(os.path.join(FILES, name + ".pth"), what)
        self.refused(os.path.join(FILES, "model.pth"), "torch.nn.modules.linear.Linear",
                     "state_dict()")

    def test_nothing_is_called(self):
        mark = os.path.join(self.folder, "called")
        for protocol in range(6):
            hostile = pickle.dumps({"a": Hostile(mark)}, protocol)
            self.refused(archive(hostile), "system, which was not called")
        eval_call = b"c__builtin__\neval\n(" + text("open('%s','w')" % mark) + b"tR"
        self.refused(archive(whole(eval_call)), "builtins.eval")
        for name in ("torch._utils\n_rebuild_wrapper", "torch.storage\n_load_from_bytes",
                     "torch.serialization\nload", "builtins\ngetattr", "torch\nload",
                     "torch.hub\nload", "os.path\njoin", "collections\nOrderedDict.__class__"):
            self.refused(archive(whole(b"c" + name.encode() + b"\n)R")), "was not called")
        # What is left out on request is not called either.
        content = whole(dictionary(a=b"cposix\nsystem\n(" + text("touch '%s'" % mark) + b"tR",
                                   w=tensor(storage())))
        self.assertEqual(set(self.converted(self.written(archive(content)), "--inert",
                                            "posix.system")), {"w"})
        self.assertFalse(os.path.exists(mark))

    def test_tensors_beyond_their_storages(self):
        def bad(*parts, **given):
            self.refused(archive(whole(dictionary(w=tensor(storage(), **given)))), *parts)
        bad("element 4 of a storage of 4", offset=1)
        bad("element 4611686018427387903", shape=(1 << 61,), strides=(2,), offset=1)
        sizes = "expected a tensor's offset, sizes and strides"
        bad(sizes, shape=(-1,))
        bad(sizes, strides=(-1,), offset=3)
        bad(sizes, offset=-1)
        bad(sizes, shape=(1 << 62,), strides=(0,))
        bad(sizes, shape=(2, 2))
        bad(sizes, shape=(1,) * 33, strides=(1,) * 33)
        bad("more than eight times the file", shape=(1 << 61,), strides=(0,))
        bad("more than eight times the file", shape=(1 << 30, 1 << 30), strides=(0, 0))
        for stored, part in ((storage(count=5), "expected 5 elements, got 16 bytes"),
                             (storage(count=-5), "expected a storage's type, key and size"),
                             (storage(key="../7"), "'a/data/../7'"),
                             (integer(3), "expected a tensor's storage")):
            self.refused(archive(whole(dictionary(w=tensor(stored)))), part)

    def test_pickles_that_never_end(self):
        deep = b"]" * 300_000 + b"a" * 299_999
        self.refused(archive(whole(dictionary(a=deep))), "nested too deeply")
        tuples = b")" + b"\x85" * 300_000
        self.refused(archive(whole(b"}" + tuples + b"Ns")), "holds no tensors")
        # Each list holds the previous one twice: 2^200 paths.
        shared = b"]" + b"".join(b"q%c0](h%ch%ce" % (i, i, i) for i in range(60))
        self.refused(archive(whole(dictionary(a=shared))), "nested too deeply")
        self_holding = b"}q\x00" + text("a") + b"h\x00s"
        self.refused(archive(whole(self_holding)), "nested too deeply")
        keys = b")" + b"".join(b"q%c0h%ch%c\x86" % (i, i, i) for i in range(100))
        self.refused(archive(whole(b"}" + keys + b"Ns")), "holds no tensors")
        # One long list, made again and again.
        numbers = b"](" + b"N" * 100_000 + b"eq\x00"
        pairs = b"](" + b"NN\x86" * 100_000 + b"eq\x00"
        for made, name in ((numbers, b"__builtin__\nlist"), (pairs, b"collections\nOrderedDict")):
            calls = b"c" + name + b"\nq\x01" + b"0h\x01h\x00\x85R" * 100_000
            self.refused(archive(whole(made + calls)), "larger than the file")
        # Keys of storages are printed: no lists of lists.
        shared_key = storage().replace(text("0"), shared, 1)
        self.refused(archive(whole(dictionary(w=tensor(shared_key)))), "type, key and size")
        self.refused(archive(b"\x80\x02X\xff\xff\xff\xff"), "ends too early")
        self.refused(archive(b"\x80\x04\x8e" + b"\xff" * 8), "ends too early")
        self.refused(archive(b"\x80\x02\x8b\xff\xff\xff\x7f"), "an integer of")
        self.refused(archive(b"\x80\x02I" + b"9" * 5000 + b"\n."), "no end")
        self.refused(archive(b"\x80\x02Nr\xff\xff\xff\xff0j\xfe\xff\xff\xff."), "damaged")

    def test_pickles_that_are_none(self):
        for content in (b"", b".", b"\x80\x02", b"\x80\x09N.", b"\x80\x02}a.", b"\x80\x02R.",
                        b"\x80\x02(u.", b"\x80\x02t.", b"\x80\x02h\x05.", b"\x80\x02NNb.",
                        b"\x80\x02N)R.", b"\x80\x02}NNNu.", b"\x80\x02\xfe", b"\x80\x02\x85.",
                        b"\x80\x02NQ.", b"\x80\x02X\x01\0\0\0\xff.", b"\x80\x02](NNe.",
                        b"\x80\x02ccollections\nOrderedDict\n(]Nat.", b"cos\n",
                        b"\x80\x02V\\ud800\n.", b"\x80\x02(Nd.",
                        b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R."):
            with self.subTest(content):
                self.refused(archive(content))
        self.refused(archive(whole(dictionary(a=text("b")))), "it holds no tensors")

    def test_zips_that_are_none(self):
        good = archive(whole(dictionary(w=tensor(storage()))))
        self.assertEqual(set(self.converted(self.written(good))), {"w"})
        os.remove(self.out)
        for end in range(0, len(good), 7):
            self.refused(good[:end])
        at = good.index(FOUR)
        self.refused(good[:at] + b"\xff" + good[at + 1:], "'a/data/0': its checksum is wrong")
        content = whole(dictionary(w=tensor(storage(count=1 << 20), shape=(1 << 20,))))
        self.refused(archive(content, b"\0" * (4 << 20), method=zipfile.ZIP_DEFLATED),
                     "is compressed")
        self.refused(archive(content, more=[("b/data.pkl", b"")]), "one data.pkl")
        self.refused(archive(content, more=[("a/constants.pkl", b"")]), "TorchScript")
        self.refused(archive(content, order="middle"), "'middle'")
        # Ten entries of the directory that lie on the same bytes.
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as file:
            several = b"](" + b"".join(tensor(storage(str(i))) for i in range(10)) + b"e"
            file.writestr("a/data.pkl", whole(several))
            file.writestr("a/data/0", FOUR * 4000)
            for i in range(1, 10):
                other = copy.copy(file.getinfo("a/data/0"))
                other.filename = "a/data/%d" % i
                file.filelist.append(other)
        self.refused(stream.getvalue(), "its entries overlap")

    def damaged(self, good, step, wrap=bytes):
        """Every `step`-th byte of `good` is changed: one line, or tensors."""
        codes = set()
        for at in range(0, len(good), step):
            for change in (0x5A, 0x01, 0x80):
                path = self.written(wrap(good[:at] + bytes([good[at] ^ change]) + good[at + 1:]))
                result = self.run_script(path, self.out)
                codes.add(result.returncode)
                if result.returncode == 1:
                    self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertEqual(codes, {0, 1})

    def test_damaged_bytes_end_in_one_line_or_in_tensors(self):
        for name in ("views", "types_legacy", "trained", "trained_legacy"):
            with open(os.path.join(FILES, name + ".pth"), "rb") as file:
                self.damaged(file.read(), 37)

    def test_damaged_pickles_of_whole_zips_do_too(self):
        for name in ("views", "types", "trained", "protocol4", "parameters"):
            with zipfile.ZipFile(os.path.join(FILES, name + ".pth")) as file:
                entries = {entry: file.read(entry) for entry in file.namelist()}
            (key,) = [entry for entry in entries if entry.endswith("/data.pkl")]

            def zipped(content):
                stream = io.BytesIO()
                with zipfile.ZipFile(stream, "w") as file:
                    for entry, bytes_of in entries.items():
                        file.writestr(entry, content if entry == key else bytes_of)
                return stream.getvalue()

            self.damaged(entries[key], 11, zipped)

    def test_legacy_files_that_end_early(self):
        with open(os.path.join(FILES, "views_legacy.pth"), "rb") as file:
            good = file.read()
        for end in list(range(0, len(good), 13)) + [len(good) - 1]:
            self.refused(good[:end])
        self.refused(b"text\n", "neither a zip nor")
        self.refused(pickle.dumps({"a": 1}, 2), "another pickle")

    def test_names_cannot_steer_a_terminal(self):
        content = archive(whole(dictionary(**{"\x1b[31m": tensor(storage(count=9))})))
        self.refused(content)
        content = archive(whole(dictionary(**{"\x1b[31m": tensor(storage())})))
        result = self.run_script(self.written(content), "--list")
        self.assertIn("\\u{1B}[31m", result.stdout)
        self.assertNotIn("\x1b", result.stdout)

    # The command line ----------------------------------------------------------------------------

    def test_usage(self):
        path = os.path.join(FILES, "views.pth")
        for words in ((), (path,), (path, self.out, "--list"), (path, self.out, "--dtype", "f8"),
                      (path, self.out, "--what")):
            result = self.run_script(*words)
            self.assertEqual(result.returncode, 2, words)
        with open(path, "rb") as file:
            before = file.read()
        own = self.written(before)
        link = os.path.join(self.folder, "link")
        os.symlink(own, link)
        for same in (own, link):
            result = self.run_script(own, same)
            self.assertEqual(result.returncode, 2)
            self.assertIn("the output is the input", result.stderr)
        with open(own, "rb") as file:
            self.assertEqual(file.read(), before)
        os.remove(link)
        self.refused(os.path.join(self.folder, "none.pth"), "none.pth", "No such file")
        result = self.run_script(path, os.path.join(self.folder, "no", "out"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("no/out: No such file", result.stderr)

    def test_a_failure_leaves_the_file_that_was_there(self):
        with open(self.out, "w") as file:
            file.write("before")
        doubles = whole(dictionary(w=tensor(storage(kind="DoubleStorage"))))
        path = self.written(archive(doubles, struct.pack("<4d", 1, 1e39, 0, 0)))
        result = self.run_script(path, self.out, "--dtype", "f32")
        self.assertEqual(result.returncode, 1)
        with open(self.out) as file:
            self.assertEqual(file.read(), "before")
        self.assertEqual(sorted(os.listdir(self.folder)), ["in.pth", "out.safetensors"])


if __name__ == "__main__":
    unittest.main()
