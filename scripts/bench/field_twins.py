"""PyTorch twins of the codecs in scripts/examples/field, and fixtures of them.

    python3 field_twins.py [FOLDER]

FOLDER is Tests/lua/files unless given. A file field_NAME.safetensors holds parameters, by names that count from 1, `frame.N`, what the
network makes of frame N, `image`, and `grad.PARAMETER`, the gradients of mean((frame.3 - image)²); the
metadata says what the network was constructed with.
"""

import json
import math
import os
import re
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import tensor_file

FOLDER = os.path.join(os.path.dirname(__file__), "../../Tests/lua/files")


class TemporalGrid(nn.Module):
    def __init__(self, entries, channels, rows, columns):
        super().__init__()
        self.entries = nn.Parameter(torch.randn(entries, channels, rows, columns))

    def forward(self, moment):
        last = len(self.entries) - 1
        if last == 0:
            return self.entries
        before = min(math.floor(moment * last), last - 1)
        share = moment * last - before
        return torch.lerp(self.entries[before:before + 1], self.entries[before + 1:before + 2], share)


class TemporalGrids(nn.Module):
    def __init__(self, levels, frames, rows, columns):
        super().__init__()
        self.levels = nn.ModuleList(
            TemporalGrid(math.ceil((frames - 1) / every) + 1, channels, rows, columns)
            for every, channels in levels)
        self.channels = sum(channels for _, channels in levels)

    def forward(self, moment):
        return torch.cat([grid(moment) for grid in self.levels], 1)


ACTIVATIONS = dict(sin=torch.sin, gelu=F.gelu)


def moment(index, frames):
    """`index` counts from 1."""
    return (index - 1) / max(frames - 1, 1)


class CompactBlock(nn.Module):
    def __init__(self, c_in, c_out, up, act):
        super().__init__()
        self.look = nn.Conv2d(c_in, c_in, 3, padding=1, groups=c_in)
        self.mix = nn.Conv2d(c_in, c_out * up**2, 1)
        self.up, self.act = up, act

    def forward(self, x):
        return self.act(F.pixel_shuffle(self.mix(x + self.look(x)), self.up))


class NeRVBlock(nn.Module):
    def __init__(self, c_in, c_out, up, act):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out * up**2, 3, padding=1)
        self.up, self.act = up, act

    def forward(self, x):
        return self.act(F.pixel_shuffle(self.conv(x), self.up))


class Network(nn.Module):
    def __init__(self, frames, rows, columns, neighbours, o):
        super().__init__()
        self.act = act = ACTIVATIONS[o["act"]]
        self.grids = TemporalGrids(o["grids"], frames, rows, columns)
        self.stem = nn.Conv2d(self.grids.channels, o["width"], 3, padding=1)
        self.blocks, self.refinements = nn.ModuleList(), nn.ModuleList()
        c, *ups = o["width"], *o["strides"]
        for i, up in enumerate(ups[:-1]):
            c_out = max(int(c // o["reduce"]), o["least"])
            self.blocks.append((CompactBlock if i == 0 else NeRVBlock)(c, c_out, up, act))
            self.refinements.append(nn.Conv2d(c_out, c_out, 3, padding=1))
            c = c_out
            if i == 0:
                self.motion = nn.Conv2d(c, 3 * neighbours + 1, 3, padding=1)
        self.head = nn.Conv2d(c, 3 * ups[-1]**2, 3, padding=1)
        self.last = ups[-1]

    def forward(self, moment):
        x, motion = self.act(self.stem(self.grids(moment))), None
        for block, refinement in zip(self.blocks, self.refinements):
            x = block(x)
            x = x + self.act(refinement(x))
            motion = self.motion(x) if motion is None else motion
        return torch.tanh(F.pixel_shuffle(self.head(x), self.last)) * 0.5 + 0.5, motion


class FFNeRV(nn.Module):
    """A frame and its neighbours' independent frames, which get no gradient."""

    def __init__(self, height, width, frames, o):
        super().__init__()
        self.height, self.width, self.frames = height, width, frames
        self.neighbours = o["neighbours"]
        unit = math.prod(o["strides"])
        self.finer = unit // o["strides"][0]
        self.network = Network(frames, math.ceil(height / unit), math.ceil(width / unit),
                               len(self.neighbours), o)

    def alone(self, index):
        image, motion = self.network(moment(index, self.frames))
        return image[..., :self.height, :self.width], motion

    def enlarged(self, x):
        x = F.interpolate(x, scale_factor=self.finer, mode="bilinear")
        return x[..., :self.height, :self.width]

    def forward(self, index):
        h, w, n = self.height, self.width, len(self.neighbours)
        image, motion = self.alone(index)
        rows, columns = motion.shape[-2:]
        flow = self.enlarged(motion[:, :2 * n].view(n, 2, rows, columns)).permute(0, 2, 3, 1)
        votes = motion[:, 2 * n:3 * n].softmax(1) * motion[:, 3 * n:].sigmoid()
        votes = self.enlarged(votes).view(n, 1, h, w)
        with torch.no_grad():
            around = torch.cat([self.alone(min(max(index + k, 1), self.frames))[0]
                                for k in self.neighbours])
        still = F.affine_grid(torch.eye(2, 3).expand(n, 2, 3), around.shape, align_corners=False)
        cell = torch.tensor([2 * self.finer / w, 2 * self.finer / h])
        warped = F.grid_sample(around, still + flow * cell, padding_mode="border",
                               align_corners=False)
        own = 1 - votes.sum(0, keepdim=True)
        return image * own + (warped * votes).sum(0, keepdim=True)


class Block(nn.Module):
    def __init__(self, c, o):
        super().__init__()
        self.look = nn.Conv2d(c, c, o["kernel"], padding=o["kernel"] // 2, groups=c)
        self.norm = nn.LayerNorm(c, eps=1e-6)
        self.widen = nn.Conv2d(c, o["wider"] * c, 1)
        self.narrow = nn.Conv2d(o["wider"] * c, c, 1)
        self.act = ACTIVATIONS[o["act"]]

    def forward(self, x):
        y = self.norm(self.look(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.narrow(self.act(self.widen(y)))


class Stage(nn.Module):
    def __init__(self, c_in, c_out, up, frames, o):
        super().__init__()
        self.up, self.act = up, ACTIVATIONS[o["act"]]
        self.reduce = nn.Conv2d(c_in, c_out, 1)
        self.places = TemporalGrids([o["places"]], frames, up, up)
        self.place = nn.Conv2d(o["places"][1], c_out, 1, bias=False)
        self.blocks = nn.ModuleList(Block(c_out, o) for _ in range(o["blocks"]))

    def forward(self, x, moment):
        # As the paper has it: interpolation first, the convolution on what it made.
        rows, columns = x.shape[-2:]
        x = self.reduce(F.interpolate(self.act(x), scale_factor=self.up, mode="bilinear"))
        x = x + self.place(self.places(moment)).repeat(1, 1, rows, columns)
        for block in self.blocks:
            x = block(x)
        return x


class HiNeRV(nn.Module):
    def __init__(self, height, width, frames, o):
        super().__init__()
        self.height, self.width, self.frames = height, width, frames
        unit = o["head"] * math.prod(o["strides"])
        self.base = TemporalGrids(o["grids"], frames, math.ceil(height / unit),
                                  math.ceil(width / unit))
        self.stem = nn.Conv2d(self.base.channels, o["width"], 3, padding=1)
        self.stages = nn.ModuleList()
        c = c_out = o["width"]
        for up in o["strides"]:
            self.stages.append(Stage(c, c_out, up, frames, o))
            c, c_out = c_out, max(int(c_out // o["reduce"]), o["least"])
        self.head = nn.Conv2d(c, 3 * o["head"]**2, 3, padding=1)
        self.up = o["head"]

    def forward(self, index):
        at = moment(index, self.frames)
        x = self.stem(self.base(at))
        for stage in self.stages:
            x = stage(x, at)
        image = torch.tanh(F.pixel_shuffle(self.head(x), self.up)) * 0.5 + 0.5
        return image[..., :self.height, :self.width]


# No multiples of what the strides make of a cell.
HEIGHT, WIDTH, FRAMES = 22, 34, 6
CASES = dict(
    ffnerv=(FFNeRV, dict(
        width=8, neighbours=[-2, -1, 1, 2], strides=[3, 2, 2], grids=[[2, 3], [1, 1]], reduce=1.5,
        least=4, act="sin")),
    hinerv=(HiNeRV, dict(
        width=8, strides=[3, 2], head=2, grids=[[2, 3], [1, 1]], places=[3, 2], blocks=2, kernel=3,
        wider=2, reduce=1.5, least=4, act="gelu")),
)


def main(folder):
    for name, (Codec, o) in CASES.items():
        torch.manual_seed(1)
        model = Codec(HEIGHT, WIDTH, FRAMES, o)
        def counted(key):
            return re.sub(r"\.(\d+)\.", lambda match: f".{int(match[1]) + 1}.", key)
        tensors = {counted(key): value.detach().numpy() for key, value in model.named_parameters()}
        image = torch.rand(1, 3, HEIGHT, WIDTH)
        for index in (1, 3, 6):
            tensors[f"frame.{index}"] = model(index).detach().numpy()
        (model(3) - image).square().mean().backward()
        tensors["image"] = image.numpy()
        for key, value in model.named_parameters():
            tensors[f"grad.{counted(key)}"] = value.grad.numpy()
        path = os.path.join(folder, f"field_{name}.safetensors")
        tensor_file.write(path, {key: np.float32(value) for key, value in tensors.items()}, {
            "arguments": json.dumps([HEIGHT, WIDTH, FRAMES, o])})
        print(path, os.path.getsize(path))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else FOLDER)
