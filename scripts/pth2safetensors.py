#!/usr/bin/env python3
"""Turns a PyTorch checkpoint (.pth, .pt) into safetensors, without PyTorch and without unpickling.

    python3 pth2safetensors.py model.pth model.safetensors
    python3 pth2safetensors.py model.pth --list
    python3 pth2safetensors.py model.pth model.safetensors --key state_dict --strip-prefix module.

A checkpoint is a pickle, a program that may call any function. The interpreter here knows the
opcodes, but calls nothing: it recognises the constructors of tensors and of plain data by their
names, and refuses every other. Both layouts are read, the zip of PyTorch 1.6 and later and the
sequence of pickles before it. Needs Python 3.9 and its standard library alone.

Exit codes: 0 done, 1 a file that is refused, 2 a wrong command line.
"""

import argparse
import os
import sys

from torch_files.layouts import read_checkpoint
from torch_files.objects import SIZES, UNWRITTEN, Odd, Refused, Tensor, printable
from torch_files.writing import HEADER_LIMIT, TEMPORARY, write

# Dictionaries that are expected to hold the parameters, where several hold tensors.
USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net", "generator", "params", "module")
STEP_LIMIT, DEPTH_LIMIT = 2_000_000, 64


# Names ------------------------------------------------------------------------------------------


class Traversal:
    """Traverses nested dictionaries and lists. A shared object is visited once per reference, so
    the number of steps is limited."""

    def __init__(self):
        self.steps = 0

    def leaves(self, value):
        """(path, value) of every tensor, every other entry, and every list without tensors."""
        stack = [((), value)]
        while stack:
            path, item = stack.pop()
            if type(item) is dict:
                inside = [(key, item[key]) for key in item if type(key) in (str, int)]
            elif type(item) in (list, tuple):
                inside = [(i, part) for i, part in enumerate(item)
                          if isinstance(part, (dict, list, tuple, Tensor, Odd))]
            else:
                inside = []
            self.steps += 1 + (len(item) // 8 if isinstance(item, (dict, list, tuple)) else 0)
            if self.steps > STEP_LIMIT or len(path) > DEPTH_LIMIT:
                raise Refused("dictionaries and lists are nested too deeply, or in one another")
            if inside:
                stack.extend((path + (key,), part) for key, part in reversed(inside))
            elif not isinstance(item, dict):
                yield path, item

    def has_tensors(self, value):
        return any(isinstance(item, (Tensor, Odd)) for _, item in self.leaves(value))


def inner(value, key):
    """What `key` names: an entry, or entries in one another with dots between."""
    if type(value) is dict:
        if key in value:
            return value[key]
        for i, letter in enumerate(key):
            if letter == "." and type(value.get(key[:i])) is dict:
                return inner(value[key[:i]], key[i + 1:])
    known = [printable(k) for k in value if type(k) is str] if type(value) is dict else []
    raise Refused("it has no '%s' (known: %s)" % (printable(key), ", ".join(known[:20]) or "none"))


def chosen(value, traversal, depth=0):
    """The dictionary with the parameters, its key where it is an inner one, and the keys of others
    with tensors."""
    if type(value) is not dict or any(isinstance(v, (Tensor, Odd)) for v in value.values()):
        return value, None, []
    keys = [key for key in value if type(key) is str and traversal.has_tensors(value[key])]
    usual = [key for key in USUAL_KEYS if key in keys]
    if len(keys) > 1 and not usual:
        raise Refused("several entries hold tensors: choose one by --key: " + shown(keys))
    if not keys or depth > DEPTH_LIMIT:
        return value, None, []
    key = usual[0] if usual else keys[0]
    found, further, rest = chosen(value[key], traversal, depth + 1)
    rest = [other for other in keys if other != key] + [key + "." + other for other in rest]
    return found, key if further is None else key + "." + further, rest


def named(value, traversal, prefixes, listing=False):
    """({name: tensor}, names of entries that are no tensors). Tensors that cannot be written are
    refused, unless they are only listed."""
    tensors, others, length, used = {}, [], 0, set()
    for path, item in traversal.leaves(value):
        length += sum(len(str(part)) + 1 for part in path)
        if length > HEADER_LIMIT:
            raise Refused("names of more than %d characters" % HEADER_LIMIT)
        name = ".".join(map(str, path)) or "tensor"
        if not isinstance(item, (Tensor, Odd)):
            others.append(name)
            continue
        for prefix in prefixes:
            if name.startswith(prefix):
                used.add(prefix)
                name = name[len(prefix):]
        what = item.what if isinstance(item, Odd) else UNWRITTEN.get(item.dtype)
        if what and not listing:
            raise Refused("'%s' is a %s tensor, which this program does not write: convert it in "
                          "PyTorch first" % (printable(name), what))
        if name in tensors or name in ("", "__metadata__"):
            raise Refused("two tensors are named '%s'" % printable(name) if name in tensors
                          else "a tensor cannot be named '%s'" % name)
        tensors[name] = item
    for prefix in prefixes:
        if prefix not in used:
            raise Refused("no name begins with '%s'" % printable(prefix))
    if not tensors:
        raise Refused("it holds no tensors")
    return tensors, others


# The program ------------------------------------------------------------------------------------


def shown(names):
    return ", ".join(map(printable, names[:8])) + (
        " and %d more" % (len(names) - 8) if len(names) > 8 else "")


def convert(options):
    value, big, size = read_checkpoint(options.input, set(options.inert))
    traversal = Traversal()
    if options.key is not None:
        value, key, rest = inner(value, options.key), None, []
    else:
        value, key, rest = chosen(value, traversal)
    tensors, others = named(value, traversal, options.strip_prefix, options.list)
    if options.list:
        width = max(map(len, map(printable, tensors)))
        for name, tensor in tensors.items():
            what = tensor.what if isinstance(tensor, Odd) else "%-7s (%s)" % (
                tensor.dtype, ", ".join(map(str, tensor.shape)))
            print("%-*s %s" % (width, printable(name), what))
    else:
        # Views may repeat what is stored.
        if sum(t.count * SIZES[t.dtype] for t in tensors.values()) > 8 * size + (1 << 20):
            raise Refused("its tensors are views that take more than eight times the file's bytes")
        count = write(options.output, tensors, big, options.dtype == "f32")
        print("%s: %d tensors, %d bytes" % (options.output, len(tensors), count))
    if key is not None:
        print("using the entries of '%s'" % printable(key), file=sys.stderr)
    if rest:
        print("left out, with tensors (--key takes one): " + shown(rest), file=sys.stderr)
    if others:
        print("left out, no tensors: " + shown(others), file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(
        description="Turns a PyTorch checkpoint into safetensors without running its pickle.")
    parser.add_argument("input", metavar="IN", help="a .pth or .pt file")
    parser.add_argument("output", metavar="OUT", nargs="?", help="the .safetensors file")
    parser.add_argument("--key", help="the entry that holds the parameters, such as state_dict, "
                        "or a nested entry, such as a.b (the only one with tensors)")
    parser.add_argument("--strip-prefix", action="append", default=[], metavar="TEXT",
                        help="remove this prefix from the names; may be repeated")
    parser.add_argument("--dtype", choices=["f32"],
                        help="convert f64, f16 and bf16 to f32; values out of range are refused")
    parser.add_argument("--list", action="store_true", help="print names, types and shapes")
    parser.add_argument("--inert", action="append", default=[], metavar="MODULE.NAME",
                        help="a class that the file may mention; its objects are left out")
    options = parser.parse_args()
    if options.list == (options.output is not None):
        parser.error("expected an output or --list, and not both")
    if options.output and os.path.exists(options.output) and os.path.exists(options.input) \
            and os.path.samefile(options.input, options.output):
        parser.error("the output is the input")
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        convert(options)
    except (Refused, OSError) as problem:
        text = isinstance(problem, OSError) and problem.strerror or str(problem)
        failed = getattr(problem, "filename", None) or options.input
        if TEMPORARY in str(failed):
            failed = options.output
    except (MemoryError, RecursionError, OverflowError):
        text, failed = "it needs more memory than is available", options.input
    else:
        return 0
    print("pth2safetensors: %s: %s" % (printable(str(failed)), text), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
