"""Command lines of the Python scripts: --help fits a screen, --help --all says everything."""

import argparse
import sys
import textwrap

WIDTH = 80


class CommandLine(argparse.ArgumentParser):
    """A parser whose --help has the first paragraph of a script's docstring and the options.

    --help --all, in either order, has all paragraphs. Lines of a paragraph that begins with a space
    are kept.
    """

    def __init__(self, doc, usage):
        about, *details = doc.strip().split("\n\n")
        words = sys.argv[1:]
        is_all = "--all" in words and ("--help" in words or "-h" in words)
        if not is_all:
            details = ["--help --all says more."]
        super().__init__(
            usage=usage, description=self._filled(about),
            epilog="\n\n".join(map(self._filled, details)),
            formatter_class=self._formatter)

    @staticmethod
    def _filled(paragraph):
        return paragraph if paragraph[0] == " " else textwrap.fill(paragraph, WIDTH)

    @staticmethod
    def _formatter(prog):
        return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=WIDTH)

    def add(self, name, text, **more):
        """Adds an option, or an argument, with the text of its help."""
        self.add_argument(name, help=text, **more)
