"""PyTorch twins of the codecs in scripts/examples/field, and fixtures of them.

    python3 field_twins.py [FOLDER]

FOLDER is Tests/lua/files by default. A file field_NAME.safetensors holds parameters, whose names
count from 1; `frame.N`, the network's output for frame N; `image`; and `grad.PARAMETER`, the
gradients of mean((frame.3 - image)²). If latents have a price, it also holds `bits`, those of frame
3, and the gradients are those of the sum with bits/1000. The metadata holds the constructor's
arguments.
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

    def forward(self, time):
        last = len(self.entries) - 1
        if last == 0:
            return self.entries
        before = min(math.floor(time * last), last - 1)
        share = time * last - before
        return torch.lerp(self.entries[before:before + 1], self.entries[before + 1:before + 2], share)


class TemporalGrids(nn.Module):
    def __init__(self, levels, frames, rows, columns):
        super().__init__()
        self.levels = nn.ModuleList(
            TemporalGrid(math.ceil((frames - 1) / every) + 1, channels, rows, columns)
            for every, channels in levels)
        self.channels = sum(channels for _, channels in levels)

    def forward(self, time):
        return torch.cat([grid(time) for grid in self.levels], 1)


ACTIVATIONS = dict(sin=torch.sin, gelu=F.gelu)


def time_of(index, frames):
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

    def forward(self, time):
        x, motion = self.act(self.stem(self.grids(time))), None
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
        image, motion = self.network(time_of(index, self.frames))
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

    def forward(self, x, time):
        # As in the paper: interpolation first, then the convolution on its result.
        rows, columns = x.shape[-2:]
        x = self.reduce(F.interpolate(self.act(x), scale_factor=self.up, mode="bilinear"))
        x = x + self.place(self.places(time)).repeat(1, 1, rows, columns)
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
        at = time_of(index, self.frames)
        x = self.stem(self.base(at))
        for stage in self.stages:
            x = stage(x, at)
        image = torch.tanh(F.pixel_shuffle(self.head(x), self.up)) * 0.5 + 0.5
        return image[..., :self.height, :self.width]


class Motion(nn.Module):
    """A frame from the previous one, which gets no gradient."""

    def __init__(self, height, width, frames, o):
        super().__init__()
        self.height, self.width, self.frames, self.group = height, width, frames, o["group"]
        unit = math.prod(o["strides"])
        self.act = act = ACTIVATIONS[o["act"]]
        self.grid = TemporalGrids(o["grids"], frames, math.ceil(height / unit),
                                  math.ceil(width / unit))
        self.stem = nn.Conv2d(self.grid.channels, o["width"], 3, padding=1)
        self.blocks, self.refinements = nn.ModuleList(), nn.ModuleList()
        c, *ups = o["width"], *o["strides"]
        for up in ups[:-1]:
            c_out = max(int(c // o["reduce"]), o["least"])
            self.blocks.append(NeRVBlock(c, c_out, up, act))
            self.refinements.append(nn.Conv2d(c_out, c_out, 3, padding=1))
            c = c_out
        self.image = nn.Conv2d(c, 3 * ups[-1]**2, 3, padding=1)
        self.motion = nn.Conv2d(c, 3, 3, padding=1)
        self.last = ups[-1]

    def forward(self, index):
        x = self.act(self.stem(self.grid(time_of(index, self.frames))))
        for block, refinement in zip(self.blocks, self.refinements):
            x = block(x)
            x = x + self.act(refinement(x))
        image = torch.tanh(F.pixel_shuffle(self.image(x), self.last)) * 0.5 + 0.5
        image = image[..., :self.height, :self.width]
        if (index - 1) % self.group == 0:
            return image
        with torch.no_grad():
            before = self(index - 1)
        motion = F.interpolate(self.motion(x), scale_factor=self.last, mode="bilinear")
        motion = motion[..., :self.height, :self.width]
        still = F.affine_grid(torch.eye(2, 3)[None], before.shape, align_corners=False)
        flow = torch.tanh(motion[:, :2]).permute(0, 2, 3, 1) * 0.25
        warped = F.grid_sample(before, still + flow, padding_mode="border", align_corners=False)
        mask = torch.sigmoid(motion[:, 2:] + 1)
        return image * (1 - mask) + warped * mask


class Context(nn.Module):
    """The context network of CoolChic: a mean and the logarithm of a scale for each latent."""

    NEIGHBOURS = [(0, -1, -1), (0, -1, 0), (0, -1, 1),
                  (1, 0, 0), (1, 0, -1), (1, 0, 1), (1, -1, 0), (1, 1, 0)]

    def __init__(self, hidden=16):
        super().__init__()
        inputs = len(self.NEIGHBOURS) + 2
        self.hidden = nn.Parameter(torch.randn(hidden, inputs) * 0.3)
        self.hidden_bias = nn.Parameter(torch.full((hidden, 1), 0.5))
        self.out = nn.Parameter(torch.randn(2, hidden) * 0.2)
        self.skip = nn.Parameter(torch.randn(2, inputs) * 0.2)
        self.out_bias = nn.Parameter(torch.randn(2, 1) * 0.2)

    def forward(self, index, now, before, coarser):
        """The bits of the latents `now`, (h, w), of grid `index`."""
        h, w = now.shape
        above = torch.zeros(h, w)
        if coarser is not None:
            above = F.interpolate(coarser[None, None], size=(h, w))[0, 0]
        maps = [F.pad(m.clamp(-63, 63), (1, 1, 1, 1)) for m in (now, before)]
        lines = [maps[k][1 + dy:1 + dy + h, 1 + dx:1 + dx + w].reshape(-1)
                 for k, dy, dx in self.NEIGHBOURS]
        inputs = torch.stack([*lines, above.clamp(-63, 63).reshape(-1),
                              torch.full((h * w,), float(index))])
        hidden = (self.hidden @ inputs + self.hidden_bias).clamp(0, 255 / 16)
        mean, scale = self.out @ hidden + self.skip @ inputs + self.out_bias
        law = torch.distributions.Laplace(0.0, torch.exp2(scale.clamp(-3, 6).double()))
        # Below the mean, so that a small mass keeps its digits.
        distance = (now.reshape(-1) - mean).abs().double()
        return -(law.cdf(0.5 - distance) - law.cdf(-0.5 - distance)).log2().sum()


class CoolChic(nn.Module):
    CELLS = [2, 4, 8, 16, 8, 8]
    COARSER = [1, 2, 3, None, None, 4]

    def __init__(self, height, width, frames, o):
        super().__init__()
        self.height, self.width, self.length = height, width, o["length"]
        groups = math.ceil(frames / self.length)
        self.context = Context()
        self.spread = nn.Conv2d(len(self.CELLS), o["channels"], 3, padding=1)
        self.mix = nn.Conv2d(o["channels"], o["channels"], 1)
        self.head = nn.Conv2d(o["channels"], 12, 3, padding=1)
        for k, cell in enumerate(self.CELLS):
            shape = self.length, math.ceil(height / cell), groups, math.ceil(width / cell)
            self.register_parameter(f"grid{k + 1}", nn.Parameter(torch.randn(shape) * 2))

    def latents(self, index):
        j, g = (index - 1) % self.length, (index - 1) // self.length
        return [getattr(self, f"grid{k + 1}")[j, :, g] for k in range(len(self.CELLS))]

    def forward(self, index):
        maps = [m[None, None] for m in self.latents(index)]
        size = maps[0].shape[-2:]
        x = torch.cat([F.interpolate(m, size=size, mode="bilinear") for m in maps], 1)
        x = F.gelu(self.spread(x))
        x = F.gelu(x + self.mix(x))
        image = F.pixel_shuffle(self.head(x), 2) + 0.5
        return image[..., :self.height, :self.width]

    def bits(self, index):
        """The bits of a frame's latents."""
        now, before = self.latents(index), [None] * len(self.CELLS)
        if (index - 1) % self.length > 0:
            before = [m.detach() for m in self.latents(index - 1)]
        return sum(
            self.context(k + 1, m, torch.zeros_like(m) if before[k] is None else before[k],
                         None if self.COARSER[k] is None else now[self.COARSER[k]])
            for k, m in enumerate(now))


# Not multiples of the total stride.
HEIGHT, WIDTH, FRAMES = 22, 34, 6
CASES = dict(
    ffnerv=(FFNeRV, dict(
        width=8, neighbours=[-2, -1, 1, 2], strides=[3, 2, 2], grids=[[2, 3], [1, 1]], reduce=1.5,
        least=4, act="sin")),
    hinerv=(HiNeRV, dict(
        width=8, strides=[3, 2], head=2, grids=[[2, 3], [1, 1]], places=[3, 2], blocks=2, kernel=3,
        wider=2, reduce=1.5, least=4, act="gelu")),
    motion=(Motion, dict(
        width=8, strides=[3, 2, 2], grids=[[2, 3], [1, 1]], reduce=1.5, least=4, act="sin",
        group=3)),
    coolchic=(CoolChic, dict(channels=6, length=4)),
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
        loss = (model(3) - image).square().mean()
        if hasattr(model, "bits"):
            bits = model.bits(3)
            tensors["bits"] = bits.detach().view(1).float().numpy()
            loss = loss + bits.float() / 1000
        loss.backward()
        tensors["image"] = image.numpy()
        for key, value in model.named_parameters():
            tensors[f"grad.{counted(key)}"] = value.grad.numpy()
        path = os.path.join(folder, f"field_{name}.safetensors")
        tensor_file.write(path, {key: np.float32(value) for key, value in tensors.items()}, {
            "arguments": json.dumps([HEIGHT, WIDTH, FRAMES, o])})
        print(path, os.path.getsize(path))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else FOLDER)
