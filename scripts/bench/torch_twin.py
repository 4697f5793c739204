"""A PyTorch twin of lunerv's models, losses and optimisers: the other side of every comparison.

It computes the same as lunerv, in plain eager PyTorch, for three uses: `check_twin.py` checks it
against a golden file, `torch_bench.py` times it, `make_fixtures.py` stores single operators of it.

Model kinds: nerv, enerv, hnerv (baselines: arXiv 2110.13903, 2207.08132, 2304.02633) and
nerv_boost, enerv_boost, hnerv_boost (arXiv 2402.18152). Parameters have the names of the
published checkpoints, so `load_state_dict` takes those directly. Tensors are NCHW, fp32.
Frame i of N (from 0) has time t = (i + 1) / N.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

# --- configuration ------------------------------------------------------------------------------

DEFAULTS = {
    "act": None,            # None: the kind's own (sin for boosted kinds, gelu, silu for nerv)
    "boost": None,          # None: by kind; conditional decoder (TAT) or not
    "ch_t": 32,
    "embed": None,          # pe_BASE_LEVELS; None: pe_1.25_80, for nerv pe_1.25_40
    "enc_strds": [5, 2, 2, 2, 2], "enc_dim": "64_16", "enc_blks": 1,
    "dec_strds": [5, 2, 2, 2, 2], "dec_blks": None,
    "ks": None,             # "k-enc_k1_k2"; None: 0_1_5 for HNeRV kinds, 0_3_3 for t-only kinds
    "reduce": None,         # None: 1.2 for HNeRV kinds, 2 for t-only kinds
    "lower_width": 12, "fc_dim": None, "fc_hw": "9_16", "block_dim": 128, "out_bias": "tanh",
}
KINDS = ("nerv", "enerv", "hnerv", "nerv_boost", "enerv_boost", "hnerv_boost")


def integers(value):
    """[64, 16] from "64_16", "64,16", a list or one number."""
    if isinstance(value, str):
        return [int(float(part)) for part in value.replace(",", "_").split("_")]
    return [int(part) for part in value] if isinstance(value, (list, tuple)) else [int(value)]


def settle(kind, config):
    """The full configuration of `kind`: `config` over the defaults over what the kind implies."""
    if kind not in KINDS:
        raise ValueError(f"unknown model kind {kind!r}; known: {', '.join(KINDS)}")
    full = {**DEFAULTS, **config}
    boost, frame_based = kind.endswith("_boost"), kind.startswith("hnerv")
    own_act = "sin" if boost else {"nerv": "silu"}.get(kind, "gelu")
    implied = {
        "act": own_act, "boost": boost, "ks": "0_1_5" if frame_based else "0_3_3",
        "embed": "pe_1.25_40" if kind == "nerv" else "pe_1.25_80",
        "reduce": 1.2 if frame_based else 2.0,
        "dec_blks": ([1, 1, 2, 2, 2] if boost else [1] * 5)[: len(full["dec_strds"])],
    }
    for key, value in implied.items():
        if full[key] is None:
            full[key] = value
    return full


def width_from_budget(kind, megaparameters, frames, height, width, config):
    """fc_dim for a budget in millions: the largest root of a x^2 + b x - (1e6 M - E), truncated.

    Counts with the *uncapped* kernels, and leaves out TAT, repeats and expansion, as published.
    """
    full = settle(kind, config)
    _, k1, k2 = integers(full["ks"])
    r, strides = 1 / full["reduce"], full["dec_strds"]
    a = r * sum(
        r ** (2 * i) * s * s * min(k1 + 2 * i, k2) ** 2 for i, s in enumerate(strides))
    if kind.startswith("hnerv"):
        enc, dec = math.prod(full["enc_strds"]), math.prod(strides)
        d = integers(full["enc_dim"])[1]
        embeddings = d * (height // enc) * (width // enc) * frames
        b = d * (enc / dec) ** 2 * 9
    else:
        fc_h, fc_w = integers(full["fc_hw"])
        embeddings, b = 0, 160 * fc_h * fc_w
    c = 1e6 * megaparameters - embeddings
    return int((-b + math.sqrt(b * b + 4 * a * c)) / (2 * a))


# --- small layers -------------------------------------------------------------------------------

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


# --- losses -------------------------------------------------------------------------------------

MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def smallest_scale(side, scales):
    """The length of `side` at the last of `scales` scales: odd lengths grow by 2 before halving."""
    for _ in range(scales - 1):
        side = (side + 2 * (side % 2)) // 2
    return side


def ssim_layout(short_side, scales=5):
    """(window, sigma, weights) for frames of that short side.

    Above 160 pixels: window 11, sigma 1.5, five scales with the published weights. At 160 and
    below the window shrinks to the largest odd number that fits the smallest scale; where that
    is under 5, scales are dropped from the coarse end until 5 fits, and the weights that remain
    are divided by their sum. Sigma follows the window: 1.5 window / 11. `scales` = 1 gives the
    layout of plain SSIM. Raises ValueError below 5 pixels.
    """
    for count in range(scales, 0, -1):
        fits = smallest_scale(short_side, count)
        window = min(11, fits - 1 + fits % 2)
        if window >= 5:
            weights = MS_WEIGHTS[:count]
            if count < len(MS_WEIGHTS):
                weights = tuple(weight / sum(weights) for weight in weights)
            return window, 1.5 * window / 11, weights
    raise ValueError(f"SSIM needs at least 5 pixels on the short side, got {short_side}")


def gaussian(window, sigma, like):
    """A Gaussian of `window` taps summing to 1."""
    offsets = torch.arange(window, dtype=torch.float64) - window // 2
    taps = torch.exp(-(offsets**2) / (2 * sigma**2))
    return (taps / taps.sum()).to(like)


def ssim_maps(x, y, window, sigma):
    """(ssim, contrast) per image and channel, each (B, C): means of the valid-convolution maps."""
    taps = gaussian(window, sigma, x)
    planes = torch.stack([x, y, x * x, y * y, x * y]).flatten(0, 2)[:, None]
    planes = F.conv2d(F.conv2d(planes, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))
    mx, my, xx, yy, xy = planes.view(5, x.shape[0], x.shape[1], *planes.shape[2:])
    c1, c2 = 0.01**2, 0.03**2
    contrast = (2 * (xy - mx * my) + c2) / ((xx - mx * mx) + (yy - my * my) + c2)
    luminance = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    return (luminance * contrast).mean(dim=(2, 3)), contrast.mean(dim=(2, 3))


def ssim(x, y):
    """Plain SSIM, not clamped: a scalar."""
    window, sigma, _ = ssim_layout(min(x.shape[-2:]), scales=1)
    return ssim_maps(x, y, window, sigma)[0].mean()


def ms_ssim(x, y):
    """Multi-scale SSIM: contrasts of all scales but the last, SSIM of the last; a scalar."""
    window, sigma, weights = ssim_layout(min(x.shape[-2:]))
    product = 1.0
    for scale, weight in enumerate(weights):
        last = scale == len(weights) - 1
        term = ssim_maps(x, y, window, sigma)[0 if last else 1]
        # relu, not clamp: its gradient is exactly 0 where the power's gradient is infinite.
        product = product * torch.relu(term) ** weight
        if not last:
            padding = (x.shape[-2] % 2, x.shape[-1] % 2)
            x, y = (F.avg_pool2d(image, 2, padding=padding) for image in (x, y))
    return product.mean()


def freq_loss(x, y):
    """Mean |difference| over real and imaginary parts of the unnormalised 2-D FFTs.

    The transform is linear, so one FFT of the difference serves for both images.
    """
    return torch.view_as_real(torch.fft.fft2(x - y)).abs().mean()


def boosted_loss(x, y):
    """60 (0.7 L1 + 0.3 (1 - MS-SSIM)) + frequency loss."""
    return 60 * (0.7 * F.l1_loss(x, y) + 0.3 * (1 - ms_ssim(x, y))) + freq_loss(x, y)


def nerv_loss(x, y):
    """0.7 L1 + 0.3 (1 - SSIM): NeRV and E-NeRV."""
    return 0.7 * F.l1_loss(x, y) + 0.3 * (1 - ssim(x, y))


def loss_of(kind):
    """The training loss of a model kind."""
    if kind.endswith("_boost"):
        return boosted_loss
    return F.mse_loss if kind == "hnerv" else nerv_loss


# --- optimisers ---------------------------------------------------------------------------------

class Adam:
    """p -= lr m^ / (sqrt(v^) + eps). `step()` reads and `zero_grad()` drops `.grad`."""

    def __init__(self, parameters, lr, betas=(0.9, 0.999), eps=1e-8):
        self.parameters, self.lr, self.betas, self.eps = list(parameters), lr, betas, eps
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]
        self.k = 0

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self):
        self.k += 1
        b1, b2 = self.betas
        c1, c2 = 1 - b1**self.k, 1 - b2**self.k
        for p, m, v in zip(self.parameters, self.m, self.v):
            m.mul_(b1).add_(p.grad, alpha=1 - b1)
            v.mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
            p.addcdiv_(m / c1, (v / c2).sqrt_().add_(self.eps), value=-self.lr)


class Adan(Adam):
    """Adan without weight decay; at the first step the previous gradient is the gradient."""

    def __init__(self, parameters, lr, betas=(0.98, 0.92, 0.99), eps=1e-8):
        super().__init__(parameters, lr, betas, eps)
        self.d = [torch.zeros_like(p) for p in self.parameters]
        self.previous = None

    @torch.no_grad()
    def step(self):
        self.k += 1
        b1, b2, b3 = self.betas
        c1, c2, c3 = 1 - b1**self.k, 1 - b2**self.k, 1 - b3**self.k
        if self.previous is None:
            self.previous = [p.grad.clone() for p in self.parameters]
        for index, p in enumerate(self.parameters):
            g, m, d, n = p.grad, self.m[index], self.d[index], self.v[index]
            change = g - self.previous[index]
            ahead = g + b2 * change
            m.mul_(b1).add_(g, alpha=1 - b1)
            d.mul_(b2).add_(change, alpha=1 - b2)
            n.mul_(b3).addcmul_(ahead, ahead, value=1 - b3)
            p.sub_(self.lr * (m / c1 + b2 * d / c2) / ((n / c3).sqrt_() + self.eps))
            self.previous[index].copy_(g)


def optimiser_of(kind, parameters):
    """The optimiser a kind is trained with, at its full learning rate."""
    rates = {"hnerv_boost": 3e-3, "nerv_boost": 3e-3, "enerv_boost": 1.5e-3, "hnerv": 1e-3}
    if kind.endswith("_boost"):
        return Adan(parameters, rates[kind])
    betas = (0.9, 0.999) if kind == "hnerv" else (0.5, 0.999)
    return Adam(parameters, rates.get(kind, 5e-4), betas)


def psnr(x, y):
    """-10 log10(mse + 1e-9), dB, on the unclamped fp32 output."""
    return -10 * math.log10(F.mse_loss(x, y).item() + 1e-9)
