"""Trains the PyTorch twin on a clip, by the published recipe and its full schedule, and prints the
quality and the time.

    python3 torch_quality.py FRAMES --height 180 --width 320 --model hnerv_boost --fc-dim 34 \\
        --strides 5,2,2 --enc-dim 64,8 --passes 10

FRAMES holds the frames as bytes, RGB RGB ..., as `lunerv decompress FILE -o -` writes them: both
sides of `lunerv bench --quality` see the same pixels. The recipe is the kind's own optimiser at its
full learning rate, warm-up, half a cosine down to 0, frames one by one in random order, the kind's
loss; parameters are initialised as in the published program.

Prints a JSON object for each pass, {pass, psnr, seconds} (the mean over its frames as training saw
them), and at the end {passes, psnr, seconds, parameters, ...}: the evaluation's mean over the
frames, and seconds since this process began, imports, reading and evaluation included. It runs
under an allocator that keeps freed pages, which is PyTorch at its best (see torch_bench.py);
`--variant eager` does not use it. `--check` only reports whether PyTorch is installed.
"""

import argparse
import json
import math
import os
import sys
import time

import torch_bench

LOADED = time.monotonic()


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", metavar="FRAMES", nargs="?")
    parser.add_argument("--check", action="store_true", help="whether PyTorch can be imported")
    parser.add_argument("--height", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--model", choices=torch_bench.KINDS, default="hnerv_boost")
    parser.add_argument("--fc-dim", type=int, help="width of the decoder's first layer")
    parser.add_argument("--strides", type=numbers, help="of the decoder, and of an encoder")
    parser.add_argument("--enc-dim", type=numbers, help="width and embedding of an encoder")
    parser.add_argument("--fc-hw", type=numbers, help="first grid of a kind of time alone")
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--warmup", type=float, default=0.1, help="share of the steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--variant", choices=("eager", "jemalloc"), default="jemalloc")
    parser.add_argument("--jemalloc", metavar="PATH", help="the library, where it is not found")
    options = parser.parse_args()
    needed = ("frames", "height", "width", "fc_dim", "strides")
    missing = [name for name in needed if getattr(options, name) is None]
    if missing and not options.check:
        parser.error(f"expected {', '.join(missing)}, got none")
    return options


def numbers(text):
    return [int(part) for part in text.split(",")]


def since_start():
    """Seconds since this process began, before Python's first line; on systems other than Linux,
    since this file was read."""
    try:
        with open("/proc/self/stat") as stat:
            ticks = int(stat.read().rsplit(")", 1)[1].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return time.monotonic() - LOADED


def rate(peak, warmup, share):
    """The learning rate when `share` of the steps is done."""
    if share < warmup:
        return peak * (0.1 + 0.9 * share / warmup)
    return peak * 0.5 * (math.cos(math.pi * (share - warmup) / (1 - warmup)) + 1)


def read_frames(torch, options):
    """All frames as bytes, (N, 3, H, W)."""
    with open(options.frames, "rb") as file:
        data = bytearray(file.read())
    size = 3 * options.height * options.width
    if not data or len(data) % size:
        raise SystemExit(f"{options.frames}: expected frames of {size} bytes, got {len(data)}")
    frames = torch.frombuffer(data, dtype=torch.uint8)
    return frames.view(-1, options.height, options.width, 3).permute(0, 3, 1, 2).contiguous()


def make_model(twin, options):
    config = dict(fc_dim=options.fc_dim, dec_strds=options.strides, enc_strds=options.strides)
    if options.enc_dim:
        config["enc_dim"] = options.enc_dim
    if options.fc_hw:
        config["fc_hw"] = options.fc_hw
    return twin.build(options.model, config)


def measure(options):
    try:
        import torch
        import torch_twin as twin
    except ImportError as error:
        return {"skipped": f"PyTorch cannot be imported: {error}"}
    if options.check:
        return {"torch_version": torch.__version__}
    allocator = "default"
    if options.variant == "jemalloc" and sys.platform.startswith("linux"):
        allocator = os.environ[torch_bench.MARK]
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    frames = read_frames(torch, options)
    count = len(frames)
    times = [torch.tensor([(i + 1) / count], dtype=torch.float64) for i in range(count)]
    model = make_model(twin, options)
    loss_of = twin.loss_of(options.model)
    optimiser = twin.optimiser_of(options.model, model.parameters())
    peak, step, steps = optimiser.lr, 0, options.passes * count

    def image(i):
        return frames[i : i + 1].float() / 255

    for number in range(1, options.passes + 1):
        total = 0.0
        for i in torch.randperm(count).tolist():
            frame = image(i)
            optimiser.lr = rate(peak, options.warmup, step / steps)
            output = model(frame, times[i])
            loss = loss_of(output, frame)
            if not math.isfinite(loss.item()):
                raise SystemExit(f"the loss became {loss.item()} at step {step + 1}")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += twin.psnr(output.detach(), frame)
            step += 1
        report = {"pass": number, "psnr": total / count, "seconds": round(since_start(), 3)}
        print(json.dumps(report), flush=True)

    with torch.no_grad():
        quality = [twin.psnr(model(image(i), times[i]), image(i)) for i in range(count)]
    return {
        "passes": options.passes, "psnr": sum(quality) / count,
        "seconds": round(since_start(), 3), "cpu_seconds": time.process_time(), "frames": count,
        "parameters": sum(p.numel() for p in model.parameters()),
        "peak_rss_bytes": torch_bench.peak_rss(), "allocator": allocator,
        "torch_version": torch.__version__, "threads": options.threads,
    }


def main():
    options = parse()
    torch_bench.end_with_parent()
    if options.variant == "jemalloc" and not options.check and sys.platform.startswith("linux"):
        torch_bench.retain_pages(options)
    print(json.dumps(measure(options)), flush=True)


if __name__ == "__main__":
    main()
