"""Writes small files as NeRV's and E-NeRV's own programs do, with the frames that those decode:

    python3 make_published.py FOLDER

FOLDER/published_nerv.safetensors and published_enerv.safetensors hold random parameters under those
programs' names, heads of lower resolutions included, and every frame as `frames`. The computation
follows the programs' descriptions: encodings are sin, cos, sin, cos, ..., their products are formed
in 32 bits, times begin at 0 and end below 1 (NeRV) or at 1 (E-NeRV). It shares no code with
`make_fixtures.py` and the twin.
"""

import math
import os
import sys

import torch
from torch.nn import functional as F

import tensor_file

FRAMES, BASE, LEVELS, STRIDES, GRID = 5, 1.25, 7, (3, 2), (2, 3)
WIDTH, NARROWEST, BLOCK = 8, 6, 4


def encoding(v):
    """(n, 2 LEVELS) of fp32 values (n,)."""
    columns = []
    for level in range(LEVELS):
        angle = v * BASE**level * math.pi
        columns += [torch.sin(angle), torch.cos(angle)]
    return torch.stack(columns, 1)


class Parameters(dict):
    """Random tensors by name, of 16 bits' precision, made on first use."""

    def layer(self, name, *shape, bias=True):
        if name + ".weight" not in self:
            bound = math.sqrt(3 / math.prod(shape[1:]))
            self[name + ".weight"] = ((torch.rand(shape) * 2 - 1) * bound).half().float()
            if bias:
                self[name + ".bias"] = ((torch.rand(shape[0]) - 0.5) * 0.4).half().float()
        return self[name + ".weight"], self.get(name + ".bias")

    def linear(self, name, x, outputs, bias=True):
        return F.linear(x, *self.layer(name, outputs, x.shape[-1], bias=bias))

    def conv(self, name, x, outputs, kernel):
        weight, bias = self.layer(name, outputs, x.shape[1], kernel, kernel)
        return F.conv2d(x, weight, bias, padding=kernel // 2)

    def enlarge(self, name, x, outputs, stride):
        return F.pixel_shuffle(self.conv(name + ".conv", x, outputs * stride**2, 3), stride)


def next_width(stage, channels, first):
    return first if stage == 0 else max(channels // 2, NARROWEST)


def nerv(p, index):
    """NeRV: the first stage keeps the width; tanh images; a head for every stage."""
    t = torch.tensor([index / FRAMES])
    x = F.silu(p.linear("stem.0", encoding(t), 10))
    x = F.silu(p.linear("stem.2", x, WIDTH * GRID[0] * GRID[1])).view(1, WIDTH, *GRID)
    for stage, stride in enumerate(STRIDES):
        width = next_width(stage, x.shape[1], WIDTH)
        x = F.silu(p.enlarge(f"layers.{stage}.conv", x, width, stride))
        image = (torch.tanh(p.conv(f"head_layers.{stage}", x, 3, 1)) + 1) * 0.5
    return image


def transformer(p, name, x, heads):
    q, k, v = (
        part.view(1, -1, heads, 64).transpose(1, 2)
        for part in p.linear(name + ".attn.to_qkv", x, 3 * 64 * heads, bias=False).chunk(3, -1))
    mixed = torch.softmax(q @ k.transpose(-1, -2) / 8, -1) @ v
    mixed = mixed.transpose(1, 2).reshape(1, -1, 64 * heads)
    x = x + p.linear(name + ".attn.to_out.0", mixed, BLOCK)
    inner = F.gelu(p.linear(name + ".ffn.net.0", x, BLOCK // 2))
    return x + p.linear(name + ".ffn.net.3", inner, BLOCK)


def enerv(p, index):
    """E-NeRV: three times the width at the first stage; sigmoid images; the last head alone."""
    t = encoding(torch.tensor([index / (FRAMES - 1)]))
    time_features = F.gelu(p.linear("stem_t.2", F.gelu(p.linear("stem_t.0", t, 2 * BLOCK)), BLOCK))
    branch = F.gelu(p.linear("t_branch.2", F.gelu(p.linear("t_branch.0", t, 128)), 128))
    rows, columns = torch.meshgrid(
        torch.arange(GRID[0]) / GRID[0], torch.arange(GRID[1]) / GRID[1], indexing="ij")
    p["xy_coord"] = torch.stack([rows.flatten(), columns.flatten()])
    places = torch.cat([encoding(c) for c in p["xy_coord"]], 1)
    x = F.gelu(p.linear("stem_xy.0", places, BLOCK))[None]
    x = transformer(p, "trans1", x, 1) * time_features[:, None]
    x = F.gelu(p.linear("toconv.0", transformer(p, "trans2", x, 8), WIDTH))
    x = x.transpose(1, 2).reshape(1, WIDTH, *GRID)
    for stage, stride in enumerate(STRIDES):
        scale, shift = F.gelu(p.linear(f"t_layers.{stage}.0", branch, 2 * x.shape[1])).chunk(2, 1)
        x = F.instance_norm(x) * scale[..., None, None] + shift[..., None, None]
        width = next_width(stage, x.shape[1], 3 * WIDTH)
        if stage == 0:
            x = p.enlarge("layers.0.conv1", x, x.shape[1] // 4, stride)
            x = p.conv("layers.0.conv2", x, width, 3)
        else:
            x = p.enlarge(f"layers.{stage}.conv", x, width, stride)
        x = F.gelu(x)
    return torch.sigmoid(p.conv(f"head_layers.{len(STRIDES) - 1}", x, 3, 1))


def main():
    folder = sys.argv[1]
    torch.manual_seed(5)
    for name, model in (("nerv", nerv), ("enerv", enerv)):
        parameters = Parameters()
        frames = torch.cat([model(parameters, index) for index in range(FRAMES)])
        tensors = {key: value.half() for key, value in parameters.items()} | {"frames": frames}
        tensor_file.write(
            os.path.join(folder, f"published_{name}.safetensors"),
            {key: value.numpy() for key, value in tensors.items()}, {})


main()
