"""Times the PyTorch twin: training steps, decoding one frame without gradients, or the loss alone.

    python3 torch_bench.py --model hnerv_boost --size 720p --variant eager [--decode | --loss]

Prints one JSON object. `seconds_per_step` is the median over `steps` after the warm-up steps; a
training step is encode, decode, loss, backward and optimiser step on one random frame (fp32,
batch 1), a decoding step makes one frame from a given embedding, a loss step is the model's loss
of two random images and its gradient. Variants:

  eager              PyTorch as installed
  jemalloc           eager, in a new process under jemalloc that never returns pages; without
                     libjemalloc the same by glibc settings, then called `glibc_retain`
  compiled           torch.compile and channels-last
  compiled_jemalloc  both
Where a variant cannot run, the object holds `skipped` with the reason instead of the figures.

With `--turns` it alternates with its parent program, so that drift affects both alike. After the
warm-up it prints `{"ready": true}`; for each number n read from standard input it does n steps and
prints the list of their seconds; after any other input it prints the object of all those steps.
"""

import argparse
import ctypes
import ctypes.util
import glob
import json
import os
import resource
import signal
import statistics
import sys
import time

# The clip's shape and each kind's width budget (in millions), for the paper's 1.5M models (720p)
# and for proportionally smaller ones; a kind's fc_dim overrides the budget.
SIZES = {
    "180p": dict(height=180, width=320, strides=[5, 2, 2], enc_dim="64_8", dec_blks=[1, 1, 2],
                 steps=10, budget=dict(hnerv_boost=0.35, nerv_boost=0.2, enerv_boost=0.3, hnerv=0.4,
                                       nerv=0.4, enerv=0.4)),
    "360p": dict(height=360, width=640, strides=[5, 2, 2, 2], enc_dim="64_16",
                 dec_blks=[1, 1, 2, 2], steps=6,
                 budget=dict(hnerv_boost=0.7, nerv_boost=0.4, enerv_boost=0.6, hnerv=0.8, nerv=0.8,
                             enerv=0.8)),
    "720p": dict(height=720, width=1280, strides=[5, 2, 2, 2, 2], enc_dim="64_16",
                 dec_blks=[1, 1, 2, 2, 2], steps=3,
                 budget=dict(hnerv_boost=1.275, nerv_boost=0.8, enerv_boost=1.25, hnerv=1.525,
                             nerv=1.5, enerv=1.5)),
}
FRAMES = 132            # of the clip the budgets are for
KINDS = ("hnerv_boost", "nerv_boost", "enerv_boost", "hnerv", "nerv", "enerv")
MARK = "LUNERV_BENCH_ALLOCATOR"


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=KINDS, default="hnerv_boost")
    parser.add_argument("--size", choices=SIZES, default="180p")
    parser.add_argument(
        "--variant", default="eager",
        choices=("eager", "jemalloc", "compiled", "compiled_jemalloc"))
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--decode", action="store_true", help="time decoding, not training")
    mode.add_argument("--loss", action="store_true", help="time the loss and its gradient alone")
    parser.add_argument("--turns", action="store_true", help="step on request (see above)")
    parser.add_argument("--steps", type=int, help="timed steps (default 10, 6, 3 by size)")
    parser.add_argument("--warmup", type=int, default=1, help="steps before timing (default 1)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--fc-dim", type=int, help="decoder width, instead of the size's own")
    parser.add_argument("--jemalloc", metavar="PATH", help="the library, where it is not found")
    return parser.parse_args()


def find_jemalloc(given):
    """A path or soname that LD_PRELOAD accepts, or None."""
    if given:
        return given
    folders = ("/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")
    found = [path for folder in folders for path in glob.glob(f"{folder}/libjemalloc.so*")]
    return sorted(found)[-1] if found else ctypes.util.find_library("jemalloc")


def retain_pages(options):
    """Restarts this program under a page-retaining allocator; returns its name if already so."""
    if MARK in os.environ:
        return os.environ[MARK]
    environment, library = dict(os.environ), find_jemalloc(options.jemalloc)
    if library:
        environment[MARK] = "jemalloc"
        environment["LD_PRELOAD"] = " ".join(filter(None, [library, os.environ.get("LD_PRELOAD")]))
        environment["MALLOC_CONF"] = "background_thread:false,dirty_decay_ms:-1,muzzy_decay_ms:-1"
    else:
        # One arena that grows by brk, with nothing mapped or trimmed: freed pages stay for the next
        # step.
        environment[MARK] = "glibc_retain"
        environment.update(
            MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_=str(1 << 46), MALLOC_ARENA_MAX="1",
            MALLOC_TOP_PAD_=str(64 << 20))
    command = [sys.executable, os.path.abspath(sys.argv[0]), *sys.argv[1:]]
    os.execve(sys.executable, command, environment)


def jemalloc_loaded():
    with open("/proc/self/maps") as maps:
        return "jemalloc" in maps.read()


def peak_rss():
    """Bytes. Linux keeps the process's own peak; the usage figure may include a parent's."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def make_model(twin, options):
    """The model of this size, its frame shape, and its configuration."""
    size = SIZES[options.size]
    config = dict(enc_strds=size["strides"], dec_strds=size["strides"], enc_dim=size["enc_dim"])
    if options.model.endswith("_boost"):
        config["dec_blks"] = size["dec_blks"]
    config["fc_dim"] = options.fc_dim or twin.width_from_budget(
        options.model, size["budget"][options.model], FRAMES, size["height"], size["width"], config)
    return twin.build(options.model, config), (1, 3, size["height"], size["width"]), config


def make_loss_step(torch, twin, options, shape):
    """A function of the step number that computes the loss of two images and its gradient."""
    image, output = torch.rand(shape), torch.rand(shape, requires_grad=True)
    loss_of = twin.loss_of(options.model)
    loss_of = torch.compile(loss_of) if options.variant.startswith("compiled") else loss_of

    def step(i):
        output.grad = None
        loss_of(output, image).backward()
    return step


def make_step(torch, twin, options, model, shape):
    """A function of the step number that does one whole step."""
    compiled = options.variant.startswith("compiled")
    if options.loss:
        return make_loss_step(torch, twin, options, shape)
    layout = torch.channels_last if compiled else torch.contiguous_format
    model.to(memory_format=layout)
    frames = [torch.rand(shape).contiguous(memory_format=layout) for _ in range(2)]
    times = [torch.tensor([(i + 1) / 2], dtype=torch.float64) for i in range(2)]
    if options.decode:
        model.eval()
        with torch.no_grad():
            embeddings = [model.encode(frame) for frame in frames]
        decode = torch.compile(model.decode) if compiled else model.decode

        def step(i):
            with torch.no_grad():
                decode(embeddings[i % 2], times[i % 2])
        return step

    forward = torch.compile(model) if compiled else model
    loss_of = twin.loss_of(options.model)
    loss_of = torch.compile(loss_of) if compiled else loss_of
    optimiser = twin.optimiser_of(options.model, model.parameters())

    def step(i):
        loss = loss_of(forward(frames[i % 2], times[i % 2]), frames[i % 2])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return step


def end_with_parent():
    """Makes Linux end this process when its parent ends, for whatever reason."""
    if sys.platform.startswith("linux"):
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)


def turns():
    """How many steps to do next, read from standard input."""
    print(json.dumps({"ready": True}), flush=True)
    for line in iter(sys.stdin.readline, ""):
        if not line.strip().isdigit():
            return
        yield int(line)


def measure(options):
    """The fields of the JSON object that are not part of the request."""
    allocator = "default"
    if options.variant.endswith("jemalloc"):
        if not sys.platform.startswith("linux"):
            return {"skipped": "allocators are exchanged through LD_PRELOAD, on Linux only"}
        allocator = retain_pages(options)
        if allocator == "jemalloc" and not jemalloc_loaded():
            return {"skipped": "libjemalloc was found but the loader refused it"}
    try:
        import torch
        import torch_twin as twin
    except ImportError as error:
        return {"skipped": f"PyTorch cannot be imported: {error}"}
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    model, shape, config = make_model(twin, options)
    step = make_step(torch, twin, options, model, shape)
    seconds = []

    def run(count):
        began = len(seconds)
        for i in range(began, began + count):
            start = time.perf_counter()
            step(i)
            seconds.append(time.perf_counter() - start)
        return seconds[began:]

    try:
        run(options.warmup)
    except Exception as error:          # torch.compile raises its backend's own errors
        if not options.variant.startswith("compiled"):
            raise
        return {"skipped": f"torch.compile failed: {str(error).strip().splitlines()[0]}"}
    if options.turns:
        for count in turns():
            print(json.dumps(run(count)), flush=True)
    else:
        run(options.steps or SIZES[options.size]["steps"])
    variant = options.variant
    if allocator == "glibc_retain":
        variant = variant.replace("jemalloc", allocator)
    timed = seconds[options.warmup:]
    return {
        "variant": variant, "seconds_per_step": statistics.median(timed) if timed else None,
        "steps": len(timed),
        "seconds": [round(s, 4) for s in timed],
        "warmup_seconds": round(sum(seconds[: options.warmup]), 4),
        "peak_rss_bytes": peak_rss(), "allocator": allocator, "fc_dim": config["fc_dim"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "parameters_stored": sum(
            p.numel() for name, p in model.named_parameters() if not name.startswith("encoder.")),
        "torch_version": torch.__version__, "threads": options.threads,
    }


def main():
    options = parse()
    if options.turns:
        end_with_parent()
    result = {
        "model": options.model, "size": options.size, "variant": options.variant,
        "mode": "decode" if options.decode else "loss" if options.loss else "train"}
    result.update(measure(options))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
