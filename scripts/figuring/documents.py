"""Blocks of figures in documents, between `<!-- figures: NAME -->` and `<!-- end of figures -->`."""

import collections
import os
import re

from figuring.sections import SECTIONS

DOCUMENTS = ("README.md", "stdlib/docs/results.md", "stdlib/docs/speed.md")
BLOCK = re.compile(
    r"(?P<begin><!-- figures: (?P<name>[\w-]+) -->\n)(?P<text>.*?)(?P<end><!-- end of figures -->)",
    re.DOTALL)

Block = collections.namedtuple("Block", "document name text")


def rendered(values):
    """The text of every block whose section was measured."""
    texts = {}
    for section, measured in values.items():
        for name, render in SECTIONS[section].blocks.items():
            texts[name] = render(measured).strip("\n")
    return texts


def _read(root, document):
    with open(os.path.join(root, document)) as file:
        return file.read()


def blocks_of(root):
    return [Block(document, found["name"], found["text"].strip("\n"))
            for document in DOCUMENTS for found in BLOCK.finditer(_read(root, document))]


def differences(root, values):
    """What a reader would see wrong, one line each."""
    texts, known = rendered(values), {n for s in SECTIONS.values() for n in s.blocks}
    problems, seen = [], set()
    for document, name, text in blocks_of(root):
        seen.add(name)
        if name not in known:
            problems.append(f"{document}: no section makes the block '{name}'")
        elif name in texts and texts[name] != text:
            problems.append(f"{document}: block '{name}' is not what was measured "
                            "(scripts/figures --write)")
    problems += [f"no document has the block '{name}'" for name in sorted(known - seen)]
    return problems


def write(root, values):
    """Writes the blocks; returns the documents that changed."""
    texts, changed = rendered(values), []
    for document in DOCUMENTS:
        old = _read(root, document)
        new = BLOCK.sub(
            lambda found: found["begin"] + "\n" + texts[found["name"]] + "\n\n" + found["end"]
            if found["name"] in texts else found.group(0), old)
        if new != old:
            path = os.path.join(root, document)
            with open(path + ".new", "w") as file:
                file.write(new)
            os.replace(path + ".new", path)
            changed.append(document)
    return changed
