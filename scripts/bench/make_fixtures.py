"""Writes the operator fixtures, described in fixtures.py.

    python3 make_fixtures.py [FOLDER]

FOLDER is Tests/TensorsTests/fixtures by default. A file NAME.safetensors holds the cases of the
functions in FILES[NAME].
"""

import os
import sys

import torch
from torch.nn import functional as F

import fixtures_sampling as sampling
import fixtures_indexing as indexing
import fixtures_convolutions as convolution_cases
import torch_twin as twin
from fixtures import FOLDER, Fixtures


def convolutions(f):
    """Odd channel counts, sizes off the multiples of 4 and 8, every stride and padding in use."""
    shapes = {
        # case: (batch, inputs, outputs, height, width, kernel, stride, padding, groups)
        "conv2d_k1": (2, 5, 3, 5, 7, 1, 1, 0, 1),
        "conv2d_k1_c17": (1, 17, 20, 2, 5, 1, 1, 0, 1),
        "conv2d_k3": (2, 3, 5, 7, 9, 3, 1, 1, 1),
        "conv2d_k3_from_17": (1, 17, 5, 5, 7, 3, 1, 1, 1),
        "conv2d_k3_to_17": (1, 3, 17, 5, 6, 3, 1, 1, 1),
        "conv2d_k3_many_tiles": (1, 3, 4, 13, 18, 3, 1, 1, 1),
        "conv2d_k3_one_row": (1, 3, 3, 1, 6, 3, 1, 1, 1),
        "conv2d_k3_valid": (1, 3, 5, 6, 5, 3, 1, 0, 1),
        "conv2d_k3_s2": (1, 5, 3, 7, 8, 3, 2, 1, 1),
        "conv2d_k5": (2, 3, 5, 6, 7, 5, 1, 2, 1),
        "conv2d_k5_to_17": (1, 2, 17, 5, 6, 5, 1, 2, 1),
        "conv2d_k5_s5": (2, 3, 5, 5, 10, 5, 5, 0, 1),
        "conv2d_k5_s5_remainder": (1, 3, 3, 13, 11, 5, 5, 0, 1),
        "conv2d_k2_s2": (1, 5, 3, 6, 10, 2, 2, 0, 1),
        "conv2d_k7": (1, 3, 3, 8, 9, 7, 1, 3, 1),
        "conv2d_depthwise_k7": (2, 5, 5, 8, 5, 7, 1, 3, 5),
        "conv2d_depthwise_k7_c17": (1, 17, 17, 3, 2, 7, 1, 3, 17),
        "conv2d_groups": (1, 6, 9, 5, 6, 3, 1, 1, 3),
    }
    for case, (n, c, o, h, w, k, stride, padding, groups) in shapes.items():
        options = dict(stride=stride, padding=padding, groups=groups)
        inputs = dict(
            x=f.normal(n, c, h, w), w=f.normal(o, c // groups, k, k, scale=0.3), b=f.normal(o))
        f.add(case, "conv2d", inputs,
              lambda x, w, b, options=options: F.conv2d(x, w, b, **options), **options)
    f.add("conv2d_no_bias", "conv2d", dict(x=f.normal(1, 3, 5, 6), w=f.normal(5, 3, 3, 3)),
          lambda x, w: F.conv2d(x, w, padding=1), stride=1, padding=1, groups=1)


def shapes_and_pools(f):
    for c, r in ((12, 2), (75, 5), (3, 1)):
        f.add(f"pixel_shuffle_{r}", "pixel_shuffle", dict(x=f.normal(2, c, 1 + (r < 5), 2)),
              lambda x, r=r: F.pixel_shuffle(x, r), factor=r)
    for case, h, w, padding in (
            ("avg_pool2d", 6, 8, (0, 0)), ("avg_pool2d_odd", 7, 9, (1, 1)),
            ("avg_pool2d_odd_height", 5, 8, (1, 0)), ("avg_pool2d_dropped", 5, 7, (0, 0))):
        # The zeros of the padding count in the mean; an incomplete last window is dropped.
        f.add(case, "avg_pool2d", dict(x=f.normal(2, 3, h, w)),
              lambda x, padding=padding: F.avg_pool2d(x, 2, padding=padding),
              kernel=2, stride=2, padding=list(padding))
    for case, sides in (("pad_edge", (1, 2, 3, 4)), ("pad_edge_bottom", (0, 0, 0, 5))):
        f.add(case, "pad", dict(x=f.normal(1, 3, 4, 5)),
              lambda x, sides=sides: F.pad(x, sides, mode="replicate"), mode="edge",
              left=sides[0], right=sides[1], top=sides[2], bottom=sides[3])
    f.add("pad_zero", "pad", dict(x=f.normal(1, 3, 4, 5)), lambda x: F.pad(x, (1, 2, 0, 3)),
          mode="zero", left=1, right=2, top=0, bottom=3)


def dense(f):
    f.add("linear", "linear", dict(x=f.normal(3, 7), w=f.normal(5, 7), b=f.normal(5)), F.linear)
    f.add("linear_tokens", "linear", dict(x=f.normal(2, 5, 17), w=f.normal(9, 17)),
          lambda x, w: F.linear(x, w))
    f.add("matmul", "matmul", dict(a=f.normal(5, 7), b=f.normal(7, 3)), lambda a, b: a @ b)
    f.add("matmul_batched", "matmul", dict(a=f.normal(2, 3, 5, 7), b=f.normal(2, 3, 7, 9)),
          lambda a, b: a @ b)
    f.add("matmul_broadcast", "matmul", dict(a=f.normal(4, 5, 6), b=f.normal(6, 3)),
          lambda a, b: a @ b)


def norms(f):
    def over_channels(x, w, b):
        return F.layer_norm(x.permute(0, 2, 3, 1), w.shape, w, b, 1e-6).permute(0, 3, 1, 2)
    for case, c in (("layer_norm_c5", 5), ("layer_norm_c17", 17)):
        f.add(case, "layer_norm", dict(x=f.normal(2, c, 3, 5), w=f.normal(c), b=f.normal(c)),
              over_channels, dim=1, eps=1e-6)
    f.add("layer_norm_last", "layer_norm", dict(x=f.normal(2, 3, 7), w=f.normal(7), b=f.normal(7)),
          lambda x, w, b: F.layer_norm(x, w.shape, w, b, 1e-6), dim=-1, eps=1e-6)
    f.add("instance_norm", "instance_norm", dict(x=f.normal(2, 5, 3, 7)),
          lambda x: F.instance_norm(x, eps=1e-5), eps=1e-5)
    for case, shape, dim in (("softmax", (3, 9), -1), ("softmax_rows", (2, 5, 3), 1)):
        f.add(case, "softmax", dict(x=f.normal(*shape, scale=3)),
              lambda x, dim=dim: torch.softmax(x, dim), dim=dim)
    f.add("softmax_large", "softmax", dict(x=f.normal(2, 5) + 1000), lambda x: torch.softmax(x, -1),
          dim=-1)


def pointwise(f):
    functions = dict(
        gelu=F.gelu, silu=F.silu, sigmoid=torch.sigmoid, tanh=torch.tanh, relu=torch.relu,
        sin=torch.sin, cos=torch.cos, exp=torch.exp, abs=torch.abs)
    # Ordinary values, then tails where a careless formula overflows or cancels.
    tails = torch.tensor([0.0, 1e-4, -1e-4, 5.0, -5.0, 12.0, -12.0, 30.0, -30.0, 80.0, -80.0, 0.5])
    for op, function in functions.items():
        x = torch.cat([f.normal(31, scale=2), tails.double()])
        f.add(op, op, dict(x=x.float().double()), function)
    for op, function in dict(log=torch.log, sqrt=torch.sqrt).items():
        f.add(op, op, dict(x=f.normal(31).abs() + 2.0**-10), function)


def losses(f):
    pair = dict(zip("xy", f.image_pair(2, 19, 23, 0.08)))
    f.add("ssim", "ssim", pair, twin.ssim, images="xy", window=11, sigma=1.5)
    pair = dict(zip("xy", f.image_pair(1, 9, 14, 0.08)))
    f.add("ssim_small", "ssim", pair, twin.ssim, images="xy", window=9, sigma=1.5 * 9 / 11)
    sparse = {"ms_ssim": {"grad_row_step": 16}, "ms_ssim_window_5": {"grad_row_step": 8}}
    for case, channels, h, w in (
            ("ms_ssim", 1, 161, 162),            # five scales, window 11, odd sides on the way
            ("ms_ssim_window_5", 1, 80, 81),     # five scales of a smaller window
            ("ms_ssim_three_scales", 2, 31, 28),  # fewer scales, weights renormalised
            ("ms_ssim_one_scale", 2, 9, 8)):
        pair = dict(zip("xy", f.image_pair(channels, h, w, 0.1)))
        window, sigma, weights = twin.ssim_layout(min(h, w))
        f.add(case, "ms_ssim", pair, twin.ms_ssim, images="xy",
              window=window, sigma=sigma, weights=list(weights), **sparse.get(case, {}))
    # Anti-correlated images: the contrast term is negative, clamped, and stops the gradient.
    x, y = f.image_pair(1, 20, 21, 0.0)
    f.add("ms_ssim_clamped", "ms_ssim", dict(x=255 - x, y=y), twin.ms_ssim, images="xy",
          **dict(zip(("window", "sigma", "weights"), twin.ssim_layout(20))))
    for case, shape in (("freq_loss", (1, 3, 6, 10)), ("freq_loss_odd", (2, 1, 9, 15))):
        f.add(case, "freq_loss", dict(x=f.normal(*shape), y=f.normal(*shape)), twin.freq_loss)
    f.add("l1_loss", "l1_loss", dict(x=f.normal(2, 3, 5), y=f.normal(2, 3, 5)), F.l1_loss)
    f.add("mse_loss", "mse_loss", dict(x=f.normal(2, 3, 5), y=f.normal(2, 3, 5)), F.mse_loss)


def blocks(f):
    """The positional encoding and one TAT residual block, the pieces every boosted model shares."""
    case, pe = "positional_encoding", twin.PositionalEncoding("pe_1.25_80")
    t = torch.tensor([1 / 132, 0.5, 1.0], dtype=torch.float64)
    f.cases[case] = {"op": "positional_encoding", "options": {"base": 1.25, "levels": 80}}
    for name, value in (("in.t", t), ("in.bases", pe.bases), ("out", pe(t))):
        f.store(f"{case}/{name}", value)

    block = twin.TATResidual(4, 5).double()
    inputs = dict(x=f.normal(1, 5, 6, 7), z=f.normal(1, 4, 1, 1))
    for name, parameter in block.named_parameters():
        inputs[name] = f.normal(*parameter.shape, scale=0.4)

    def forward(x, z, *values):
        parameters = dict(zip(dict(block.named_parameters()), values))
        return torch.func.functional_call(block, parameters, (x, z))
    f.add("tat_residual", "tat_residual", inputs, forward, ch_t=4)


def optimisers(f):
    for case, make, options in (
            ("adam", lambda p: torch.optim.Adam(p, lr=1e-3),
             dict(lr=1e-3, betas=[0.9, 0.999], eps=1e-8)),
            ("adam_beta1_half", lambda p: torch.optim.Adam(p, lr=5e-4, betas=(0.5, 0.999)),
             dict(lr=5e-4, betas=[0.5, 0.999], eps=1e-8)),
            ("adan", lambda p: twin.Adan(p, 3e-3),
             dict(lr=3e-3, betas=[0.98, 0.92, 0.99], eps=1e-8))):
        start, gradients = f.normal(11), f.normal(5, 11)
        gradients[:, 3] *= 1e-6
        gradients[:, 4] = 0
        gradients = gradients.float().double()
        parameter, rows = start.clone().requires_grad_(True), []
        optimiser = make([parameter])
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimiser.step()
            rows.append(parameter.detach().clone())
        f.cases[case] = {"op": case.split("_")[0], "options": options}
        f.store(f"{case}/in.param", start)
        f.store(f"{case}/in.grads", gradients)
        f.store(f"{case}/out", torch.stack(rows))
    # The coefficient is min(1, max_norm / (norm + 1e-6)).
    for case, scale in (("clip_grad_norm", 1.0), ("clip_grad_norm_below", 0.01)):
        gradients = dict(a=f.normal(3, 5, scale=scale), b=f.normal(7, scale=scale))
        leaves = [torch.zeros_like(g).requires_grad_(True) for g in gradients.values()]
        for leaf, gradient in zip(leaves, gradients.values()):
            leaf.grad = gradient.clone()
        norm = torch.nn.utils.clip_grad_norm_(leaves, 1.0)
        f.cases[case] = {"op": "clip_grad_norm", "options": {"max_norm": 1.0}}
        f.store(f"{case}/out.norm", norm)
        for (name, gradient), leaf in zip(gradients.items(), leaves):
            f.store(f"{case}/in.{name}", gradient)
            f.store(f"{case}/out.{name}", leaf.grad)


FILES = {
    "convolutions": [
        convolution_cases.planes, convolution_cases.transposed,
        convolution_cases.frames],
    "ops": [convolutions, shapes_and_pools, dense, norms, pointwise, losses, blocks, optimisers],
    "sampling": [sampling.samples, sampling.resizing, sampling.pooling, sampling.padding],
    "indexing": indexing.GROUPS,
}


def main(folder):
    torch.set_num_threads(1)
    for name, groups in FILES.items():
        fixtures = Fixtures()
        for group in groups:
            group(fixtures)
        fixtures.write(os.path.join(folder, f"{name}.safetensors"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else FOLDER)
