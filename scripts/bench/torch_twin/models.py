"""The models: HNeRV, NeRV and E-NeRV, with and without the conditional decoder."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .layers import Block, PositionalEncoding, StemConv, TwoConvBlock, UpConv, mlp, out_image, stages
from .settings import integers, settle

# --- HNeRV and HNeRV-Boost ----------------------------------------------------------------------

class ChannelNorm(nn.Module):
    """LayerNorm over the channels of an NCHW tensor, eps 1e-6."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        last = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, 1e-6)
        return last.permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """x + gamma * Linear(GELU(Linear(LN(depthwise7x7(x)))))."""

    def __init__(self, channels):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 1e-6))

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """The frame encoder: (B, 3, H, W) -> (B, d, H / prod(strides), W / prod(strides))."""

    def __init__(self, strides, widths, blocks):
        super().__init__()
        self.downsample_layers, self.stages = nn.ModuleList(), nn.ModuleList()
        inputs = 3
        for index, (stride, width) in enumerate(zip(strides, widths)):
            conv = nn.Conv2d(inputs, width, stride, stride=stride)
            layers = [conv, ChannelNorm(width)] if index == 0 else [ChannelNorm(inputs), conv]
            self.downsample_layers.append(nn.Sequential(*layers))
            self.stages.append(nn.Sequential(*[ConvNeXtBlock(width) for _ in range(blocks)]))
            inputs = width
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02, a=-2.0, b=2.0)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        for downsample, stage in zip(self.downsample_layers, self.stages):
            x = stage(downsample(x))
        return x


class HNeRV(nn.Module):
    """HNeRV, or HNeRV-Boost when configured with `boost`."""

    def __init__(self, full):
        super().__init__()
        self.full = full
        width, d = integers(full["enc_dim"])
        self.encoder = ConvNeXt(
            full["enc_strds"], [width] * (len(full["enc_strds"]) - 1) + [d], full["enc_blks"])
        ratio = math.prod(full["enc_strds"]) // math.prod(full["dec_strds"])
        if ratio * math.prod(full["dec_strds"]) != math.prod(full["enc_strds"]):
            raise ValueError("the encoder's strides must be a multiple of the decoder's")
        channels = full["fc_dim"]
        blocks = [Block(StemConv(d, channels, ratio), channels, full)]

        def narrower(stage, channels, stride):
            return max(round(channels / full["reduce"]), full["lower_width"])

        for inputs, channels, stride, kernel in stages(channels, full, narrower):
            blocks.append(Block(UpConv(inputs, channels, stride, kernel), channels, full))
        self.decoder = nn.ModuleList(blocks)
        self.head_layer = nn.Conv2d(channels, 3, 3, padding=1)
        if full["boost"]:
            self.pe = PositionalEncoding(full["embed"])
            self.stem_t = mlp([self.pe.width, 2 * full["ch_t"], full["ch_t"]], full["act"])

    def encode(self, frame):
        """The embedding of a frame batch (B, 3, H, W)."""
        return self.encoder(frame)

    def decode(self, embedding, t):
        """The image of an embedding at time t (Double, shape (B,))."""
        z = self.stem_t(self.pe(t)[..., None, None]) if self.full["boost"] else None
        x = embedding
        for block in self.decoder:
            x = block(x, z)
        return out_image(self.head_layer(x), self.full["out_bias"])

    def forward(self, frame, t):
        return self.decode(self.encode(frame), t)


# --- NeRV and NeRV-Boost ------------------------------------------------------------------------

def halving(full, first):
    """The t-only kinds' widths: `first` at stage 0; then C if stride 1, else max(C // 2, lower)."""
    def width(stage, channels, stride):
        if stage == 0:
            return first
        return channels if stride == 1 else max(channels // 2, full["lower_width"])
    return width


class NeRV(nn.Module):
    """NeRV, or NeRV-Boost when configured with `boost`."""

    def __init__(self, full):
        super().__init__()
        self.full = full
        self.fc_h, self.fc_w = integers(full["fc_hw"])
        channels, boost = full["fc_dim"], full["boost"]
        self.pe = PositionalEncoding(full["embed"])
        hidden = 256 if boost else 512
        self.stem = mlp([self.pe.width, hidden, self.fc_h * self.fc_w * channels], full["act"])
        if boost:
            self.stem_t = mlp([self.pe.width, 2 * full["ch_t"], full["ch_t"]], full["act"])
        blocks = []
        for inputs, channels, stride, kernel in stages(
                channels, full, halving(full, channels)):
            blocks.append(Block(UpConv(inputs, channels, stride, kernel), channels, full))
        self.layers = nn.ModuleList(blocks)
        self.head_layer = nn.Conv2d(channels, 3, 1)

    def encode(self, frame):
        return None

    def decode(self, embedding, t):
        pe = self.pe(t.float())[..., None, None]
        z = self.stem_t(pe) if self.full["boost"] else None
        x = self.stem(pe).view(len(t), self.full["fc_dim"], self.fc_h, self.fc_w)
        for block in self.layers:
            x = block(x, z)
        return out_image(self.head_layer(x), self.full["out_bias"])

    def forward(self, frame, t):
        return self.decode(None, t)


# --- E-NeRV and E-NeRV-Boost --------------------------------------------------------------------

class Attention(nn.Module):
    """softmax(Q K^T / sqrt(64)) V over `heads` heads of 64, concatenated, projected back."""

    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(d, 3 * 64 * heads, bias=False)
        plain = heads == 1 and d == 64
        self.to_out = nn.Identity() if plain else nn.Sequential(nn.Linear(64 * heads, d))

    def forward(self, x):
        batch, tokens, _ = x.shape
        q, k, v = (
            part.view(batch, tokens, self.heads, 64).transpose(1, 2)
            for part in self.to_qkv(x).chunk(3, dim=-1))
        weights = torch.softmax(q @ k.transpose(-1, -2) / 8, dim=-1)
        return self.to_out((weights @ v).transpose(1, 2).reshape(batch, tokens, 64 * self.heads))


class FeedForward(nn.Module):
    """W2 GELU(W1 x), hidden width d / 2. The names leave room for the published dropouts."""

    def __init__(self, d):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(d, d // 2), nn.GELU(), nn.Identity(), nn.Linear(d // 2, d))

    def forward(self, x):
        return self.net(x)


class Transformer(nn.Module):
    """x += attention(x), then x += ffn(x); no normalisation."""

    def __init__(self, d, heads):
        super().__init__()
        self.attn, self.ffn = Attention(d, heads), FeedForward(d)

    def forward(self, x):
        x = x + self.attn(x)
        return x + self.ffn(x)


class ENeRV(nn.Module):
    """E-NeRV, or E-NeRV-Boost when configured with `boost`."""

    def __init__(self, full):
        super().__init__()
        self.full = full
        self.fc_h, self.fc_w = integers(full["fc_hw"])
        d, act, boost = full["block_dim"], full["act"], full["boost"]
        self.pe = PositionalEncoding(full["embed"])
        self.stem_t = mlp([self.pe.width, 2 * d, d], act)
        self.stem_xy = mlp([2 * self.pe.width, d], act)
        self.trans1, self.trans2 = Transformer(d, 1), Transformer(d, 8)
        channels = full["fc_dim"]
        self.toconv = nn.Identity() if d == channels else mlp([d, channels], act)
        condition = full["ch_t"] if boost else 128
        self.t_branch = mlp([self.pe.width, 2 * condition if boost else 128, condition], act)
        blocks, affines = [], []
        for inputs, channels, stride, kernel in stages(
                channels, full, halving(full, 3 * channels)):
            affines.append(mlp([128, 2 * inputs], act))
            if not blocks:
                blocks.append(TwoConvBlock(inputs, channels, stride, kernel, full))
            else:
                blocks.append(Block(UpConv(inputs, channels, stride, kernel), channels, full))
        self.layers = nn.ModuleList(blocks)
        if not boost:
            self.t_layers = nn.ModuleList(affines)
        self.head_layer = nn.Conv2d(channels, 3, 1)
        rows = torch.arange(self.fc_h).float() / self.fc_h
        columns = torch.arange(self.fc_w).float() / self.fc_w
        grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
        self.register_buffer("grid", grid.view(-1, 2), persistent=False)

    def encode(self, frame):
        return None

    def decode(self, embedding, t):
        pe = self.pe(t.float())[..., None, None]
        xy = self.pe(self.grid).flatten(1)[..., None, None]          # (h w, 320, 1, 1)
        tokens = self.stem_xy(xy).flatten(1)[None].expand(len(t), -1, -1)
        tokens = self.trans1(tokens) * self.stem_t(pe).flatten(1)[:, None]
        tokens = self.trans2(tokens)
        x = tokens.transpose(1, 2).reshape(len(t), -1, self.fc_h, self.fc_w)
        x, z = self.toconv(x), self.t_branch(pe)
        for index, block in enumerate(self.layers):
            if not self.full["boost"]:
                gamma, beta = self.t_layers[index](z).chunk(2, dim=1)
                x = F.instance_norm(x, eps=1e-5) * gamma + beta
            x = block(x, z)
        return out_image(self.head_layer(x), self.full["out_bias"])

    def forward(self, frame, t):
        return self.decode(None, t)


def build(kind, config):
    """A new model: `model.encode(frame)`, `model.decode(embedding, t)`, `model(frame, t)`.

    frame: fp32 (B, 3, H, W) in [0, 1]; t: Double (B,). The t-only kinds ignore the frame.
    """
    full = settle(kind, config)
    if full["fc_dim"] is None:
        raise ValueError("fc_dim is missing (see width_from_budget)")
    family = {"hnerv": HNeRV, "nerv": NeRV, "enerv": ENeRV}[kind.removesuffix("_boost")]
    return family(full)
