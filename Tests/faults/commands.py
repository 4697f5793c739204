"""The commands that are made to fail: their initial folder, their words, and the results that are
compared. A clip of four frames and a model of some thousand numbers: a run takes half a second."""

import pathlib
import re
import shutil

from wholeness import exact

root = pathlib.Path(__file__).resolve().parent.parent.parent

model = ["--model", "hnerv_boost", "--strides", "2,2", "--fc-dim", "8", "--enc-dim", "8,4",
         "--ch-t", "4", "--pe-levels", "8"]
short = ["--epochs", "2", "--compress-epochs", "2"]


def y4m(width, height, frames, phase=0):
    """A moving clip in 4:4:4, without flat areas."""
    parts = [f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C444\n".encode()]
    for frame in range(frames):
        parts.append(b"FRAME\n")
        for plane in range(3):
            for y in range(height):
                parts.append(bytes(32 + (5 * x + 3 * y * (plane + 1) + 11 * frame + phase) % 192
                                   for x in range(width)))
    return b"".join(parts)


def script(name):
    return str(root / "scripts" / f"{name}.lua")


class Plan:
    """words: the command, in a folder that `prepare` fills; resume: how it is resumed (the
    same again by default); results: paths whose content counts; quick: whether the quick
    sample has it; in_children: whether its processes fail in its place."""

    begins = "lunerv: "

    def __init__(self, words, prepare=None, resume=None, results=(), output=False, quick=False,
                 in_children=False, stdin=None, progress=None, tolerated=()):
        self.words, self.resume = words, resume or words
        self.prepare_more = prepare
        self.results, self.output, self.quick = results, output, quick
        self.in_children, self.stdin = in_children, stdin
        self.progress, self.tolerated = progress and re.compile(progress), tolerated

    def prepare(self, run, folder):
        (folder / "clip.y4m").write_bytes(y4m(32, 24, 4))
        if self.prepare_more:
            self.prepare_more(run, folder)

    def facts(self, folder, stdout):
        """The results that an undisturbed run and a resumed one share."""
        facts = {}
        for pattern in self.results:
            for path in sorted(pathlib.Path(folder).glob(pattern)):
                facts[str(path.relative_to(folder))] = exact(path)
        if self.output:
            facts["standard output"] = stdout
        return facts

    def is_progress(self, line):
        return self.progress and self.progress.search(line)

    def reason(self, line, outcome):
        return line

    def errors(self, lines):
        return lines

    def tolerates(self, names, outcome):
        """Whether a run may succeed without these, since it warned about them."""
        return (bool(self.tolerated) and all(n in self.tolerated for n in names)
                and b"warning: " in outcome.stderr)


class Several(Plan):
    def reason(self, line, outcome):
        # The last line counts failures; each has its own line.
        return line + "\n" + outcome.stdout.decode(errors="replace")


class Page(Plan):
    def reason(self, line, outcome):
        # A page's omissions are reported in warnings; the last line says that nothing is left.
        return outcome.stderr.decode(errors="replace")


class Prompt(Plan):
    """Each line of input is a program, and has its own error."""
    begins = "stdin:", "lunerv: "

    def errors(self, lines):
        return lines[-1:] if all(line.startswith("stdin:") for line in lines) else lines


def file(run, folder, name="file.lnv", *more):
    """A finished file, without its work folder."""
    run("compress", "clip.y4m", "-o", name, *short, *model, *more)
    shutil.rmtree(folder / (name + ".work"))


def earlier_file(run, folder):
    file(run, folder, "out.lnv", "--seed", "9")


def earlier_run(run, folder):
    run("run", script("regress"), "clip.y4m", "--out", "out", "--epochs", "2", "--seed", "9", *model)


def decoded(name):
    def prepare(run, folder):
        file(run, folder)
        file(run, folder, "other.lnv", "--seed", "9")
        run("decompress", "other.lnv", "-o", name)
    return Plan(["decompress", "file.lnv", "-o", name], prepare, results=[name],
                progress=r"^\d+ of \d+|lossy", quick=name == "out.mkv")


def two_clips(run, folder):
    (folder / "clips").mkdir()
    (folder / "clips" / "one.y4m").write_bytes(y4m(32, 24, 3, 7))
    (folder / "clips" / "two.y4m").write_bytes(y4m(32, 24, 3, 40))


def two_files(run, folder):
    file(run, folder, "one.lnv")
    file(run, folder, "two.lnv", "--seed", "5")
    (folder / "join.lua").write_text("""
local lv = require "lunerv"
local file = assert(lv.codec.join("out.lnv", { "one.lnv", "two.lnv" }))
print(file)
""")
    earlier_file(run, folder)


def own_recipe(run, folder):
    (folder / "mine.lua").write_text((root / "stdlib/lunerv/recipes/fast.lua").read_text())
    earlier_file(run, folder)


def two_runs(run, folder):
    for seed in "12":
        run("run", script("regress"), "clip.y4m", "--out", "run" + seed, "--epochs", "1", "--seed",
            seed, *model)
    (folder / "page.html").write_text("<html>earlier</html>")


lines = b"""x = lv.arange(1, 6):view(2, 3)
x * 2
assert(lv.write_file("note.txt", tostring((x * x):sum():item())))
assert(lv.save_safetensors("x.safetensors", { x = x }))
"""


def compress(*more, **given):
    words = ["compress", "clip.y4m", "-o", "out.lnv", *short, *model, *more]
    return Plan(words, given.pop("prepare", earlier_file), words + ["--resume"],
                results=["out.lnv"], **given)


def task(name, *more, **given):
    words = ["run", script(name), "clip.y4m", "--out", "out", *more, *model]
    results = given.pop("results", ["out/metrics.json", "out/reconstruction.mkv",
                                    "out/side_by_side.mp4", "out/checkpoint-*.safetensors"])
    kind = given.pop("kind", Plan)
    return kind(words, given.pop("prepare", None), words + ["--resume"], results, **given)


def over_earlier():
    """A new run where another one was. It is started again, not resumed: the fault may precede the
    point at which it owns the folder."""
    plan = task("regress", "--epochs", "2", "--checkpoint-steps", "3", prepare=earlier_run)
    plan.resume = plan.words
    return plan


plans = {
    "compress": compress(quick=True),
    "segments": compress("--gop", "2"),
    "bytes": compress("--bytes", "4000"),
    "recipe": compress("--recipe", "./mine.lua", prepare=own_recipe),
    "decompress": decoded("out.mkv"),
    "decompress-mp4": decoded("out.mp4"),
    "decompress-y4m": decoded("out.y4m"),
    "decompress-folder": decoded("frames"),
    "decompress-raw": Plan(["decompress", "file.lnv", "-o", "-"], file, output=True),
    "info": Plan(["info", "file.lnv", "--json"], file, output=True),
    "eval": Plan(["eval", "file.lnv", "clip.y4m", "--json"], file, output=True),
    "spill": Plan(["eval", "file.lnv", "clip.y4m", "--json", "--cache", "4000"], file, output=True),
    "join": Plan(["run", "join.lua"], two_files, results=["out.lnv"]),
    "regress": task("regress", "--epochs", "2", "--checkpoint-steps", "3", quick=True),
    "regress-again": over_earlier(),
    "interpolate": task("interpolate", "--epochs", "2"),
    "inpaint": task("inpaint", "--epochs", "2"),
    "ablate": task("ablate", "--plan", "activation", "--epochs", "1", "--compress-epochs", "1",
                   results=["out/*/*.lnv"], kind=Several),
    "rd_curve": task("rd_curve", "--rates", "16", "--epochs", "1", "--compress-epochs", "1",
                     "--x26x-preset", "ultrafast", results=["out/point-16.lnv"]),
    "batch": Several(["run", script("batch"), "clips", "--out", "out", *short, *model], two_clips,
                   ["run", script("batch"), "clips", "--out", "out", "--resume", *short, *model],
                   ["out/*.lnv"]),
    "batch-processes": Several(
        ["run", script("batch"), "clips", "--out", "out", *short, *model], two_clips,
        ["run", script("batch"), "clips", "--out", "out", "--resume", *short, *model],
        ["out/*.lnv"], in_children=True),
    "report": Page(["report", "run1", "run2", "-o", "page.html"], two_runs, results=["page.html"],
                   tolerated=["page.html"]),
    "repl": Prompt(["repl"], stdin=lines, output=True, results=["note.txt", "x.safetensors"]),
    "doctor": Plan(["doctor", "--json", "--no-timing"]),
}
