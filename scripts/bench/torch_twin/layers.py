"""Layers that several model kinds share."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .settings import integers


class Sine(nn.Module):
    """sin(x), without a frequency factor."""

    def forward(self, x):
        return torch.sin(x)


def activation(name):
    """A new activation module: sin, gelu (erf form), silu or relu."""
    known = {"sin": Sine, "gelu": nn.GELU, "silu": nn.SiLU, "swish": nn.SiLU, "relu": nn.ReLU}
    return known[name]()


def mlp(widths, act):
    """1x1 convolutions, each followed by the activation, the last one included."""
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Conv2d(inputs, outputs, 1), activation(act)]
    return nn.Sequential(*layers)


class PositionalEncoding(nn.Module):
    """PE(v) = [sin(v b_0) ... sin(v b_{L-1}), cos(v b_0) ... cos(v b_{L-1})], for Double v.

    Bases are fp32; product, sine and cosine are formed in Double and rounded to fp32 at the end.
    """

    def __init__(self, spec):
        super().__init__()
        base, levels = float(spec.split("_")[1]), int(spec.split("_")[2])
        powers = torch.tensor([base**k for k in range(levels)], dtype=torch.float64).float()
        self.register_buffer("bases", powers * torch.tensor(math.pi), persistent=False)
        self.width = 2 * levels

    def forward(self, v):
        """v: Double, any shape; returns fp32 of that shape with `width` appended."""
        angles = v.double()[..., None] * self.bases.double()
        return torch.cat([angles.sin(), angles.cos()], dim=-1).float()


class TAT(nn.Module):
    """Temporal-aware affine transform: f (1 + gamma(z)) + beta(z), per channel."""

    def __init__(self, ch_t, channels):
        super().__init__()
        self.SFT_scale_conv0 = nn.Conv2d(ch_t, ch_t, 1)
        self.SFT_scale_conv1 = nn.Conv2d(ch_t, channels, 1)
        self.SFT_shift_conv0 = nn.Conv2d(ch_t, ch_t, 1)
        self.SFT_shift_conv1 = nn.Conv2d(ch_t, channels, 1)

    def forward(self, f, z):
        scale = self.SFT_scale_conv1(F.relu(self.SFT_scale_conv0(z)))
        shift = self.SFT_shift_conv1(F.relu(self.SFT_shift_conv0(z)))
        return f * (1 + scale) + shift


class TATResidual(nn.Module):
    """f + conv3x3(TAT1(GELU(conv3x3(TAT0(f)))))."""

    def __init__(self, ch_t, channels):
        super().__init__()
        self.sft0, self.sft1 = TAT(ch_t, channels), TAT(ch_t, channels)
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, f, z):
        inner = F.gelu(self.conv0(self.sft0(f, z)))
        return f + self.conv1(self.sft1(inner, z))


class UpConv(nn.Module):
    """conv k x k (C -> C' s^2), then PixelShuffle(s)."""

    def __init__(self, inputs, outputs, stride, kernel):
        super().__init__()
        conv = nn.Conv2d(inputs, outputs * stride * stride, kernel, padding=kernel // 2)
        self.upconv = nn.Sequential(conv, nn.PixelShuffle(stride))

    def forward(self, x):
        return self.upconv(x)


class StemConv(nn.Module):
    """The HNeRV kinds' first layer: conv1x1 (d -> fc_dim r^2), unfolded r x r in space."""

    def __init__(self, inputs, outputs, ratio):
        super().__init__()
        self.downconv = nn.Conv2d(inputs, outputs * ratio * ratio, 1)
        self.ratio = ratio

    def forward(self, x):
        return F.pixel_shuffle(self.downconv(x), self.ratio)


class Block(nn.Module):
    """A convolution, the activation and, in boosted kinds, a TAT residual block."""

    def __init__(self, conv, channels, full):
        super().__init__()
        self.conv, self.act = conv, activation(full["act"])
        if full["boost"]:
            self.sft_block = TATResidual(full["ch_t"], channels)

    def forward(self, x, z):
        x = self.act(self.conv(x))
        return self.sft_block(x, z) if hasattr(self, "sft_block") else x


class TwoConvBlock(nn.Module):
    """E-NeRV's first block: two convolutions, no activation between them."""

    def __init__(self, inputs, outputs, stride, kernel, full):
        super().__init__()
        if inputs <= outputs:
            self.conv1 = UpConv(inputs, inputs // 4, stride, kernel)
            self.conv2 = nn.Conv2d(inputs // 4, outputs, 3, padding=1)
        else:
            self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
            self.conv2 = UpConv(outputs, outputs, stride, kernel)
        self.act = activation(full["act"])
        if full["boost"]:
            self.sft_block = TATResidual(full["ch_t"], outputs)

    def forward(self, x, z):
        x = self.act(self.conv2(self.conv1(x)))
        return self.sft_block(x, z) if hasattr(self, "sft_block") else x


def out_image(x, bias):
    """The image from the head's output: 0.5 tanh(x) + 0.5, sigmoid(x), or x plus a constant."""
    if bias == "tanh":
        return 0.5 * torch.tanh(x) + 0.5
    return torch.sigmoid(x) if bias == "sigmoid" else x + float(bias)


def stages(channels, full, next_width):
    """Yields (inputs, outputs, stride, kernel) for every decoder block.

    `next_width(stage, channels, stride)` is the stage's output width. Boosted kernels stop at 3.
    """
    _, k1, k2 = integers(full["ks"])
    for stage, (stride, repeats) in enumerate(zip(full["dec_strds"], full["dec_blks"])):
        kernel = min(k1 + 2 * stage, k2)
        kernel = min(kernel, 3) if full["boost"] else kernel
        outputs = next_width(stage, channels, stride)
        for repeat in range(repeats):
            yield channels, outputs, stride if repeat == 0 else 1, kernel
            channels = outputs
