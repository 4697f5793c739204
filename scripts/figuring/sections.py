"""The sections: which commands make the figures, and how documents show them."""

import collections
import os
import shutil
import statistics

from figuring.runner import Failure

# `measure(runner)` gives plain data of JSON; `blocks` are functions of it, by the names of blocks.
Section = collections.namedtuple("Section", "about minutes measure blocks")
SECTIONS = {}

KINDS = {"hnerv_boost": "HNeRV-Boost", "nerv_boost": "NeRV-Boost", "enerv_boost": "E-NeRV-Boost",
         "hnerv": "HNeRV", "nerv": "NeRV", "enerv": "E-NeRV"}
WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def section(name, about, minutes, **blocks):
    def keep(measure):
        SECTIONS[name] = Section(about, minutes, measure, blocks)
        return measure
    return keep


def word(count):
    return WORDS[count] if count < len(WORDS) else str(count)


def decibels(value):
    return f"{value:.2f} dB"


def signed(value, text):
    return ("+" if value >= 0 else "−") + text.format(abs(value))


def table(head, rows, left=1):
    """Lines of Markdown; the columns after the first `left` are numbers."""
    rules = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(map(str, row)) + " |" if row is not rules
                     else "|" + "|".join(rules) + "|" for row in (head, rules, *rows))


# The sample clip ----------------------------------------------------------------------------------


def caption(v):
    return (
        "![A frame of the sample clip and its reconstruction](scripts/sample/side_by_side.png)\n\n"
        f"*Left: frame 24 of the sample clip. Right: the same frame from a file of {v['bytes']:,} "
        f"bytes that\nholds all {v['frames']} frames ({v['psnr']:.1f} dB, {v['bpp']:.3f} bits per "
        f"pixel). `scripts/quickstart` took\n{v['minutes']:.0f} minutes for it on "
        f"{word(v['cores'])} cores, the build included. Film:\n"
        "[Big Buck Bunny](scripts/sample/ATTRIBUTION.md), © Blender Foundation, CC BY 3.0.*")


@section("quickstart", "the sample clip, by scripts/quickstart", 10, picture=caption)
def quickstart(run):
    if run.quick:
        raise Failure("scripts/quickstart has no shorter form")
    _, seconds = run.call("scripts/quickstart")
    out, clip = os.path.join(run.root, "runs", "quickstart"), "scripts/sample/bunny.mp4"
    curves = {c["name"]: c["points"][0] for c in run.json(out, "curve.json")["curves"]}
    run.script("figuring/picture", clip, os.path.join(out, "clip.lnv"),
               "scripts/sample/side_by_side.png", 24)
    ours, x264 = curves["lunerv"], curves["x264 veryslow"]
    text, _ = run.lunerv("info", os.path.join(out, "clip.lnv"), "--json")
    return {"bytes": ours["bytes"], "bpp": ours["bpp"], "psnr": ours["psnr"],
            "x264": x264["psnr"], "frames": run.parse(text)["frames"], "minutes": seconds / 60,
            "cores": len(os.sched_getaffinity(0))}


# Ten passes with each recipe ----------------------------------------------------------------------

SIZES = {"hnerv_boost": ("--size", "0.35", "--enc-dim", "64,8"), "nerv_boost": ("--size", "0.22"),
         "enerv_boost": ("--size", "0.35"), "hnerv": ("--size", "0.40", "--enc-dim", "64,8")}
SEEDS = {"hnerv_boost": (1, 2, 3)}


def recipes_table(v):
    rows = []
    for kind in SIZES:
        psnr = {recipe: v["ten"][kind][recipe] for recipe in ("published", "fast")}
        count = len(psnr["fast"])
        name = KINDS[kind] + (f" (mean of {word(count)} seeds)" if count > 1 else "")
        rows.append([name] + [f"{statistics.fmean(values):.1f} dB" for values in psnr.values()])
    return table(["ten passes", "`published`", "`fast`"], rows)


def five_passes(v):
    return f"Five passes of `fast` give HNeRV-Boost {statistics.fmean(v['five']):.1f} dB."


@section("recipes", "ten passes with the published and the fast recipe", 35,
         recipes=recipes_table, **{"five-passes": five_passes})
def recipes(run):
    def psnr(kind, recipe, epochs, seed):
        out = run.path("recipes", f"{kind}-{recipe}-{epochs}-{seed}")
        run.script("regress", run.clip(), "--recipe", recipe, "--model", kind, *SIZES[kind],
                   "--strides", "5,2,2", "--epochs", epochs, "--seed", seed, "--out", out,
                   "--resume", quick=("--epochs", 1, "--frames", 4))
        return run.json(out, "metrics.json")["psnr"]
    ten = {kind: {recipe: [psnr(kind, recipe, 10, seed) for seed in SEEDS.get(kind, (1,))]
                  for recipe in ("published", "fast")} for kind in SIZES}
    return {"ten": ten, "five": [psnr("hnerv_boost", "fast", 5, seed) for seed in (1, 2, 3)]}


# Time to a quality --------------------------------------------------------------------------------


def time_table(v):
    rows = []
    for side in v["sides"]:
        name = "PyTorch with the published recipe" if side["program"] == "PyTorch" \
            else f"`{side['recipe']}`" + (" with `--head-scale 2`" if side["head_scale"] else "")
        rows.append([name, side["passes"], f"{side['psnr']:.1f} dB", f"{side['seconds']:.0f}"])
    return table([f"to {v['to']:g} dB", "passes", "PSNR", "seconds"], rows)


@section("time", "seconds to 26.4 dB, and PyTorch's if it is installed", 40, time=time_table)
def time_to_quality(run):
    sides = []
    for scale in (2, 1):
        path = run.path(f"quality-{scale}.json")
        words = ("--head-scale", 2, "--no-torch") if scale == 2 else ()
        run.lunerv("bench", "--quality", run.clip(), "--to", 12 if run.quick else 26.4, *words,
                   "--save", path)
        for side in run.json(path)["quality"]["sides"]:
            if side["reached"] and not (scale == 2 and side["recipe"] != "fast"):
                sides.append({"program": side["program"], "recipe": side["recipe"],
                              "head_scale": scale if scale > 1 else None,
                              **{k: side["reached"][k] for k in ("passes", "psnr", "seconds")}})
    if not sides:
        raise Failure("no side reached the quality")
    return {"to": 26.4, "sides": sides}


# A minute -----------------------------------------------------------------------------------------

FILMS = {"bunny_720p": "Big Buck Bunny, forwards and backwards", "carphone": "carphone"}


def minute_text(v):
    parts = [f"{f['psnr']:.1f} dB ({FILMS[name]}, {f['seconds']:.0f} s)"
             for name, f in v.items()]
    return ("One minute for 250 frames of 640×272, `lunerv compress clip.mkv -o clip.lnv --bpp 0.1 "
            f"--minutes 1`:\n{' and '.join(parts)}, one run each.")


@section("minute", "one minute for 250 frames of 640x272", 4, minute=minute_text)
def minute(run):
    found = {}
    for name in FILMS:
        clip, out = run.path(name + "_640x272.mkv"), run.path(name + ".lnv")
        if not os.path.exists(clip):
            run.script("figuring/scaled", run.film(name), clip, 272, 640, 250)
        text, seconds = run.lunerv("compress", clip, "-o", out, "--bpp", 0.1,
                                   "--minutes", 0.1 if run.quick else 1, "--json")
        found[name] = {"psnr": run.parse(text)["psnr_8bit"], "seconds": seconds}
    return found


# Rate and distortion ------------------------------------------------------------------------------

RATES = ("0.03", "0.06", "0.12", "0.3")


def curve_table(v):
    rows = []
    for curve in v["curves"]:
        points = {p["asked"]: p["psnr"] for p in curve["points"] if p["asked"]}
        percent = v["bd_rates"].get(curve["name"])
        rows.append([curve["name"]] + [decibels(points[r]) for r in RATES]
                    + [signed(percent, "{:.1f} %") if percent is not None else ""])
    return table(["", *(r + " bpp" for r in RATES), "BD-rate of lunerv against it"], rows)


def curve_rates(v):
    ours = [p for p in v["curves"][0]["points"]]
    rates = [f"{p['bpp']:.4f}" for p in ours]
    return (f"The files of lunerv are whole files and take {', '.join(rates[:-1])} and {rates[-1]} "
            f"bpp;\n{v['minutes']:g} minutes for each point, {v['shared']:.1f} dB shared by the "
            "curves (below four there would be no\nBD-rate).")


@section("curve", "rate and distortion against x264 and x265, 14 minutes per point", 60,
         curve=curve_table, **{"curve-rates": curve_rates})
def curve(run):
    out, minutes = run.path("curve"), 14
    run.script("rd_curve", run.clip(), "--out", out, "--rates", ",".join(RATES),
               "--minutes", minutes, "--resume", quick=("--frames", 8, "--minutes", 0.1))
    result = run.json(out, "curve.json")
    if not run.quick:
        shutil.copy(os.path.join(out, "curve.svg"), os.path.join(run.root, "scripts/bench"))
    curves, low, high = [], [], []
    for c in result["curves"]:
        points = sorted(c["points"], key=lambda p: p["bpp"])
        low.append(min(p["psnr"] for p in points))
        high.append(max(p["psnr"] for p in points))
        # x264 and x265 were also asked for lower rates; ours are the last ones.
        asked = [None] * (len(points) - len(RATES)) + list(RATES)
        curves.append({"name": c["name"], "points": [
            {"asked": a, "bpp": p["bpp"], "psnr": p["psnr"]} for a, p in zip(asked, points)]})
    return {"curves": curves, "bd_rates": result["bd_rates"], "minutes": minutes,
            "shared": min(high) - max(low)}


# Ablations ----------------------------------------------------------------------------------------


def ablation(run, plan, *words, quick=()):
    out = run.path(plan)
    run.script("ablate", run.clip(), "--plan", plan, *words, "--seed", 1, "--out", out, "--resume",
               quick=("--frames", 4, "--epochs", 1, "--compress-epochs", 1, *quick))
    rows = run.json(out, "ablation.json")["rows"]
    names = ("name", "parameters", "psnr", "ms_ssim", "bytes", "psnr_file", "gain")
    return [{k: row.get(k) for k in names} for row in rows]


def variants(titles):
    """A table of variants: what each gains over that which it is compared with."""
    def render(rows):
        body = [[titles[r["name"]], f"{r['parameters']:,}", decibels(r["psnr"]),
                 "" if r["gain"] is None else signed(r["gain"], "{:.2f}"), f"{r['ms_ssim']:.4f}",
                 f"{r['bytes']:,}", decibels(r["psnr_file"])] for r in rows]
        return table(["", "parameters", "PSNR", "gain, dB", "MS-SSIM", "bytes of the file",
                      "its PSNR"], body)
    return render


GAINS = {
    "published": "as published: Adan, no prediction, Gaussians, one step size per tensor",
    "families": "`--families all`: the cheapest of all distributions",
    "seeded": "`--seeded`: weights as differences from their random initial values",
    "predict": "`--predict`: embeddings as differences from the previous frame",
    "adam": "`--compress-optimiser adam`", "channel": "`--channel`: a step for each output channel",
    "rdo": "`--rdo 0.03`: rate-aware rounding of the weights",
    "default": "Adam, prediction, all distributions, seeded",
}


def gains_table(rows):
    first = rows[0]["bytes"]
    return table(["", "bytes", "", "8-bit PSNR"], [
        [GAINS[r["name"]], f"{r['bytes']:,}",
         "" if r is rows[0] else signed(100 * (r["bytes"] / first - 1), "{:.1f} %"),
         decibels(r["psnr_file"])] for r in rows])


@section("gains", "what lunerv's entropy minimisation adds, one by one", 25, gains=gains_table)
def gains(run):
    return ablation(run, "compression_parts", "--size", 0.35, "--enc-dim", "64,8", "--strides",
                    "5,2,2", "--epochs", 10, "--compress-epochs", 5, "--target-bpp", 0.12,
                    "--lambda", 0.05)


@section("boost", "every boosted kind against its baseline", 60, boost=variants(KINDS))
def boost(run):
    return ablation(run, "boost", "--params", 584500, "--lower-width", 12, "--strides", "5,2,2",
                    "--epochs", 30, "--compress-epochs", 3)


@section("together", "what each part of HNeRV-Boost is worth", 35, together=variants({
    "plain": "none of them: GELU, L2, three-step", "sine": "sines", "tat": "TAT",
    "loss": "the frequency-preserving loss", "cem": "entropy minimisation", "all": "all four"}))
def together(run):
    return ablation(run, "together", "--frames", 44, "--params", "400k", "--lower-width", 12,
                    "--strides", "5,2,2", "--epochs", 30, "--compress-epochs", 5)


PARTS = {"gelu": "NeRV with GELU", "sine": "NeRV with SINE", "enerv": "E-NeRV",
         "none": "E-NeRV-Boost without TAT", "tat": "E-NeRV-Boost",
         "three_step": "HNeRV, three steps", "cem": "HNeRV, entropy minimisation"}


@section("parts", "sines in NeRV, TAT in E-NeRV, entropy minimisation on HNeRV", 75,
         parts=variants(PARTS))
def parts(run):
    common = ("--lower-width", 12, "--strides", "5,2,2")
    rows = ablation(run, "sine_in_nerv", "--params", 584500, "--epochs", 30, "--compress-epochs", 3,
                    *common)
    rows += ablation(run, "tat_in_enerv", "--params", 584500, "--epochs", 20, "--compress-epochs",
                     3, "--eval-every", 2, *common)
    if not run.quick:
        shutil.copy(run.path("tat_in_enerv", "curves.svg"),
                    os.path.join(run.root, "scripts/bench/tat_in_enerv.svg"))
    return rows + ablation(run, "cem_on_hnerv", "--params", "400k", "--epochs", 30,
                           "--compress-epochs", 10, *common)


# Frames and pixels not seen -----------------------------------------------------------------------

TASKS = {"interpolate": (), "inpaint-centre": ("--mask", "centre"),
         "inpaint-disperse": ("--mask", "disperse")}


def tasks_table(v):
    def cell(task, m):
        return decibels(m["psnr"]) if task == "interpolate" \
            else f"{m['psnr']:.2f}; {decibels(m['hidden'])}"
    names = {"interpolate": f"{v['unseen']} frames not seen"}
    names.update({f"inpaint-{m}": f"{m} mask, whole frames; hidden pixels"
                  for m in ("centre", "disperse")})
    return table(["", "HNeRV", "HNeRV-Boost"], [
        [names[task], *(cell(task, v[kind][task]) for kind in ("hnerv", "hnerv_boost"))]
        for task in TASKS])


@section("tasks", "interpolation and inpainting", 50, tasks=tasks_table)
def tasks(run):
    found, clip = {}, run.clip()
    for kind in ("hnerv", "hnerv_boost"):
        found[kind] = {}
        for task, words in TASKS.items():
            out = run.path("tasks", f"{task}-{kind}")
            run.script(task.split("-")[0], clip, "--model", kind, *words, "--params", "400k",
                       "--lower-width", 12, "--strides", "5,2,2", "--epochs", 30, "--seed", 1,
                       "--out", out, "--resume", quick=("--epochs", 1, "--frames", 5))
            m = run.json(out, "metrics.json")
            found[kind][task] = {"psnr": m["psnr"], "hidden": m.get("psnr_hidden")}
            found["unseen"] = m.get("frames_unseen", found.get("unseen"))
    return found


# Codecs of the field ------------------------------------------------------------------------------

FIELD = {"hnerv_boost": "HNeRV-Boost", "hinerv": "HiNeRV", "motion": "with motion",
         "ffnerv": "FFNeRV", "coolchic": "Cool-chic, without motion compensation"}


def field_table(v):
    return table(["four minutes, at most 0.1 bits per pixel", "8-bit PSNR", "bytes", "seconds"], [
        [FIELD[name], decibels(f["psnr"]), f"{f['bytes']:,}", f"{f['seconds']:.0f}"]
        for name, f in sorted(v.items(), key=lambda item: -item[1]["psnr"])])


@section("field", "codecs of the field as scripts, four minutes each", 22, field=field_table)
def field(run):
    minutes, found = 0.2 if run.quick else 4, {}
    for name in FIELD:
        out = run.path(f"field-{name}.lnv")
        budget = ("--minutes", minutes, "--bpp", 0.1, "--json")
        if name == "hnerv_boost":
            text, seconds = run.lunerv("compress", run.clip(), "-o", out, *budget)
        else:
            text, seconds = run.script("examples/field/encode", run.clip(), out, "--codec", name,
                                       *budget)
        file = run.parse(text)
        found[name] = {"psnr": file["psnr_8bit"], "bytes": file["bytes"], "seconds": seconds}
    return found


# Speed --------------------------------------------------------------------------------------------

SHOWN = ("HNeRV-Boost, 720p, training step", "HNeRV-Boost, 180p, training step",
         "HNeRV, 720p, training step", "HNeRV-Boost, 720p, decoding a frame")


def speed_front(v):
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in v["tables"].splitlines() if line.startswith("| ")]
    rows = {row[0]: row[1:4] for row in rows}
    machine = v["tables"].splitlines()[0].split(": ", 1)[-1].rstrip(".")
    return (f"In turns with PyTorch on the same machine ({machine}); in brackets PyTorch's time\n"
            "over lunerv's:\n\n"
            + table(["", "lunerv", "PyTorch as installed", "PyTorch at its best"],
                    [[name, *rows[name]] for name in SHOWN if name in rows], left=4))


@section("speed", "training, decoding and kernels against PyTorch", 16,
         speed=lambda v: v["tables"], **{"speed-front": speed_front})
def speed(run):
    saved, picture = run.path("bench.json"), run.path("roofline.svg")
    words = ("--train", "--size", "180p", "--steps", 2) if run.quick else ("--minutes", 15)
    run.lunerv("bench", *words, "--save", saved, *(() if run.quick else ("--svg", picture)))
    text, _ = run.lunerv("bench", "--from", saved, "--markdown")
    if not run.quick:
        shutil.copy(picture, os.path.join(run.root, "scripts/bench/roofline.svg"))
    return {"tables": text.strip()}
