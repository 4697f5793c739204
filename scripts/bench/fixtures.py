"""Fixtures of operators: cases that Tests/TensorsTests checks kernels and gradients against.

Every value is computed in Double from inputs that are exact in fp32, then rounded to fp32, so a
fixture is the true result, and an implementation differs from it only by its own rounding. Inputs
and `gout` that are exact in fp16 are stored as F16, to keep the file small.

Tensor names, for each case:

    <case>/in.<name>      an input; U8 images stand for value / 255 (the quotient rounded to fp32)
    <case>/out            the output (several: <case>/out.<name>)
    <case>/gout           the gradient of the output that backward starts from; absent: no gradients
    <case>/grad.<name>    the gradient of input <name> for that gout
                          (with option `grad_row_step` n only its rows 0, n, 2n, ...)

Metadata `cases` is a JSON object: case -> {"op": ..., "options": {...}}, options as used below.
Optimiser cases hold `in.param`, `in.grads` (one row per step) and `out`, the parameter after each
step; `clip_grad_norm` holds gradients in and out, and the norm before clipping.
"""

import json
import os

import numpy as np
import torch

import tensor_file

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Tests/TensorsTests/fixtures")


class Fixtures:
    """Collects cases; one generator makes all inputs, so the file is reproducible."""

    def __init__(self, seed=20240218):
        self.random = torch.Generator().manual_seed(seed)
        self.tensors, self.cases = {}, {}

    def normal(self, *shape, scale=1.0):
        """Doubles that are exact in fp16."""
        values = torch.randn(shape, generator=self.random, dtype=torch.float64) * scale
        return values.half().double()

    def store(self, name, value):
        value = value.detach()
        if value.dtype == torch.float64 and not name.endswith("/in.t"):
            given = "/in." in name or name.endswith("/gout")
            exact = given and torch.equal(value.half().double(), value)
            value = value.half() if exact else value.float()
        self.tensors[name] = value.numpy()

    def add(self, case, op, inputs, function, images=(), **options):
        """One differentiable case. `images` names inputs given as u8, used as value / 255."""
        self.cases[case] = {"op": op, "options": options}
        leaves = {}
        for name, value in inputs.items():
            self.store(f"{case}/in.{name}", value)
            if name in images:
                value = (value.float() / 255).double()
            leaves[name] = value.clone().requires_grad_(True)
        out = function(*leaves.values())
        # A scalar is a loss, whose backward starts from 1.
        gout = self.normal(*out.shape) if out.dim() else torch.ones((), dtype=torch.float64)
        out.backward(gout)
        self.store(f"{case}/out", out)
        self.store(f"{case}/gout", gout)
        for name, leaf in leaves.items():
            if name not in images or name == "x":
                rows = slice(None, None, options.get("grad_row_step"))
                grad = leaf.grad[..., rows, :] if "grad_row_step" in options else leaf.grad
                self.store(f"{case}/grad.{name}", grad)

    def image_pair(self, channels, height, width, noise):
        """(prediction, target) as u8: a smooth picture with edges, and the same plus noise."""
        y = torch.arange(height, dtype=torch.float64)[:, None]
        x = torch.arange(width, dtype=torch.float64)[None, :]
        planes = []
        for c in range(channels):
            wave = torch.sin(0.09 * x + 0.05 * y + c) + torch.cos(0.013 * x * (c + 1) - 0.11 * y)
            planes.append(0.5 + 0.2 * wave + 0.15 * (((x // 13) + (y // 9 + c)) % 2 - 0.5))
        target = torch.stack(planes)[None]
        shaken = target + noise * self.normal(*target.shape)
        return tuple((255 * v).round().clamp(0, 255).to(torch.uint8) for v in (shaken, target))

    def write(self, path):
        for name, value in self.tensors.items():
            assert np.isfinite(value.astype(np.float64)).all(), f"{name} is not finite"
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        tensor_file.write(path, self.tensors, {
            "cases": json.dumps(self.cases, separators=(",", ":")),
            "made_by": f"scripts/bench/make_fixtures.py, PyTorch {torch.__version__.split('+')[0]}"})
        print(f"{len(self.cases)} cases, {os.path.getsize(path)} bytes: {os.path.relpath(path)}")
