"""Checks the PyTorch twin against a golden file: python3 check_twin.py GOLDEN.safetensors

Prints each comparison as `ok` or `FAIL` with its worst deviation and the tolerance; exits 1 on any
disagreement. Goldens come from the authors' published programs with random weights: parameters,
five frames, one forward pass, losses, gradients and a 20-step trajectory.
"""

import json
import sys

import numpy as np
import torch

import tensor_file
import torch_twin as twin

failures = 0


def report(name, deviation, tolerance, note=""):
    """Prints one comparison and counts it when it disagrees (NaN disagrees)."""
    global failures
    good = deviation <= tolerance
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {name:<24} {deviation:9.2e}  <= {tolerance:g}  {note}")


def relative(ours, golden):
    golden = float(golden)
    return abs(ours.item() - golden) / max(abs(golden), 1e-30)


def compare_gradients(model, tensors, prefix, tolerance):
    """The worst deviation of any parameter's gradient over that tensor's largest magnitude."""
    worst, where, count = 0.0, "", 0
    for name, parameter in model.named_parameters():
        golden = torch.from_numpy(tensors[f"{prefix}/{name}"])
        deviation = ((parameter.grad - golden).abs().max() / golden.abs().max()).item()
        count += 1
        if not deviation <= worst:
            worst, where = deviation, name
    report(prefix, worst, tolerance, f"{count} tensors, worst {where}")


def main(path):
    torch.set_num_threads(2)
    tensors, metadata = tensor_file.read(path)
    kind = metadata["kind"].lower()
    boosted = kind.endswith("_boost")
    golden_params = {
        name[len("param/"):]: torch.from_numpy(value)
        for name, value in tensors.items() if name.startswith("param/")}
    model = twin.build(kind, json.loads(metadata["config"]))
    model.load_state_dict(golden_params)          # strict: names and shapes must match exactly
    print(f"ok   {len(golden_params)} parameters of {kind} loaded by name")
    if "input/pe_bases" in tensors:
        bases = torch.from_numpy(tensors["input/pe_bases"])
        differing = int((bases != model.pe.bases).sum())
        print(f"     {differing} of {len(bases)} positional bases differ from ours; file's used")
        model.pe.bases.copy_(bases)
    frames = torch.from_numpy(tensors["input/frames"].astype(np.float32) / np.float32(255))
    times = torch.from_numpy(tensors["input/norm_idx"])

    target, t = frames[1:2], times[1:2]
    output = model(target, t)
    golden = torch.from_numpy(tensors["out/frame1"])
    report("out/frame1", (output - golden).abs().max().item(), 1e-4, "absolute")

    mse = torch.nn.functional.mse_loss(output, target)
    total = twin.boosted_loss(output, target) if boosted else mse
    ours = {
        "loss/l1": torch.nn.functional.l1_loss(output, target), "loss/mse": mse,
        "loss/ms_ssim": twin.ms_ssim(output, target), "loss/freq": twin.freq_loss(output, target),
        "loss/total": total}
    for name, value in ours.items():
        if name in tensors:
            report(name, relative(value, tensors[name]), 1e-4, f"{value.item():.7g}")

    total.backward(retain_graph=True)
    compare_gradients(model, tensors, "grad", 3e-2 if boosted else 1e-3)
    if boosted:
        model.zero_grad()
        mse.backward()
        compare_gradients(model, tensors, "grad_mse", 1e-3)

    loss_of_step = twin.boosted_loss if boosted else torch.nn.functional.mse_loss
    optimiser = (twin.Adan(model.parameters(), 3e-3) if boosted
                 else twin.Adam(model.parameters(), 1e-3))
    loss_worst = psnr_worst = 0.0
    for step, golden_loss in enumerate(tensors["traj/loss"]):
        target, t = frames[step % 5][None], times[step % 5][None]
        output = model(target, t)
        loss = loss_of_step(output, target)
        loss_worst = max(loss_worst, relative(loss, golden_loss))
        psnr_worst = max(
            psnr_worst, abs(twin.psnr(output.detach(), target) - tensors["traj/psnr"][step]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    report("traj/loss", loss_worst, 5e-3, "relative, worst of all steps")
    report("traj/psnr", psnr_worst, 5e-2, "dB, worst of all steps")
    print("the twin disagrees" if failures else "the twin agrees")
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python3 check_twin.py GOLDEN.safetensors")
    sys.exit(main(sys.argv[1]))
