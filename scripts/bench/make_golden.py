"""Writes a golden file of our PyTorch twin, for kinds whose published figures are not available:

    python3 make_golden.py KIND OUT.safetensors [--height 180 --width 320]
    python3 make_golden.py all FOLDER

The file has what scripts/verify.lua compares: random parameters under the published names, five
smooth random frames, one forward pass, losses, gradients and twenty optimiser steps. It shows that
two independently written programs of ours agree, not that either agrees with the authors'.
"""

import argparse
import json

import numpy as np
import torch

import tensor_file
import torch_twin as twin

PLAIN = {"sft_block": "none", "ch_t": 32, "dec_blks": [1, 1, 1]}
BOOSTED = {"sft_block": "res_sft", "ch_t": 16, "act": "sin", "dec_blks": [1, 1, 2]}
FRAME_BASED = {"enc_strds": [5, 2, 2], "ks": "0_1_5", "reduce": 1.2, "fc_dim": 24}
OF_TIME = {"enc_strds": [], "ks": "0_3_3", "reduce": 2, "embed": "pe_1.25_80"}
CONFIGS = {
    "hnerv": {**PLAIN, **FRAME_BASED, "act": "gelu", "embed": ""},
    "hnerv_boost": {**BOOSTED, **FRAME_BASED, "embed": "pe_1.25_80"},
    "nerv": {**PLAIN, **OF_TIME, "act": "silu", "embed": "pe_1.25_40", "fc_dim": 8},
    "nerv_boost": {**BOOSTED, **OF_TIME, "fc_dim": 8},
    "enerv": {**PLAIN, **OF_TIME, "act": "gelu", "fc_dim": 16},
    "enerv_boost": {**BOOSTED, **OF_TIME, "fc_dim": 16},
}
COMMON = {
    "norm": "none", "enc_dim": "16_8", "enc_blks": 1, "dec_strds": [5, 2, 2], "lower_width": 12,
    "out_bias": "tanh", "lfreq": "pi", "block_dim": 32, "saturate_stages": -1}


def smooth_frames(count, height, width):
    """Random low frequencies as 8-bit images, on which a similarity can be measured."""
    y = torch.linspace(0, 1, height)[None, None, :, None]
    x = torch.linspace(0, 1, width)[None, None, None, :]
    image = torch.full((count, 3, height, width), 0.5)
    for _ in range(12):
        fy, fx, phase = (torch.rand(3, count, 3, 1, 1) * torch.tensor([9.0, 9.0, 6.28]).view(
            3, 1, 1, 1, 1))
        image = image + 0.07 * torch.sin(6.28 * (fy * y + fx * x) + phase)
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def make(kind, out, height, width):
    """Writes the golden file of one kind for frames of that size, a multiple of 20 either way."""
    torch.manual_seed(1)
    boosted = kind.endswith("_boost")
    config = {**COMMON, **CONFIGS[kind], "fc_hw": f"{height // 20}_{width // 20}"}
    model = twin.build(kind, config)
    tensors = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Not all equal, and not at their initial values: every entry must matter.
            parameter.add_(0.05 * torch.randn_like(parameter))
            tensors["param/" + name] = parameter.numpy().copy()
    frames = smooth_frames(5, height, width)
    tensors["input/frames"] = frames.numpy()
    times = torch.tensor([(i + 1) / 132 for i in (0, 20, 40, 60, 80)], dtype=torch.float64)
    tensors["input/norm_idx"] = times.numpy()
    if config["embed"]:
        tensors["input/pe_bases"] = model.pe.bases.numpy().copy()
    images = frames.float() / 255

    target, t = images[1:2], times[1:2]
    output = model(target, t)
    tensors["out/frame1"] = output.detach().numpy()
    mse = torch.nn.functional.mse_loss(output, target)
    total = twin.boosted_loss(output, target) if boosted else mse
    losses = {
        "l1": torch.nn.functional.l1_loss(output, target), "mse": mse,
        "ms_ssim": twin.ms_ssim(output, target), "freq": twin.freq_loss(output, target),
        "total": total}
    for name, value in losses.items():
        tensors["loss/" + name] = np.array(value.item(), dtype=np.float32)

    def keep_gradients(prefix, loss):
        model.zero_grad()
        loss.backward(retain_graph=True)
        for name, parameter in model.named_parameters():
            tensors[f"{prefix}/{name}"] = parameter.grad.numpy().copy()

    keep_gradients("grad", total)
    if boosted:
        keep_gradients("grad_mse", mse)

    step_loss = twin.boosted_loss if boosted else torch.nn.functional.mse_loss
    optimiser = (twin.Adan(model.parameters(), 3e-3) if boosted
                 else twin.Adam(model.parameters(), 1e-3))
    history = {"loss": [], "psnr": []}
    for step in range(20):
        target, t = images[step % 5][None], times[step % 5][None]
        output = model(target, t)
        loss = step_loss(output, target)
        history["loss"].append(loss.item())
        history["psnr"].append(float(twin.psnr(output.detach(), target)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for name, values in history.items():
        tensors["traj/" + name] = np.array(values, dtype=np.float64)
    tensor_file.write(out, tensors, {
        "kind": kind, "config": json.dumps(config), "frames_total": "132",
        "source": "lunerv's own PyTorch twin"})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=[*sorted(CONFIGS), "all"])
    parser.add_argument("out", help="a file; for all kinds a folder, which gets KIND.safetensors")
    parser.add_argument("--height", type=int, default=180)
    parser.add_argument("--width", type=int, default=320)
    given = parser.parse_args()
    if given.height % 20 or given.width % 20:
        parser.error("expected multiples of 20 for height and width: the strides are 5, 2, 2")
    # Threads that wait for one another cost more than tiny frames do.
    torch.set_num_threads(2 if given.height * given.width > 20000 else 1)
    for kind in sorted(CONFIGS) if given.kind == "all" else [given.kind]:
        out = f"{given.out}/{kind}.safetensors" if given.kind == "all" else given.out
        make(kind, out, given.height, given.width)


if __name__ == "__main__":
    main()
