"""The losses, and PSNR."""

import math

import torch
from torch.nn import functional as F

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


def psnr(x, y):
    """-10 log10(mse + 1e-9), dB, on the unclamped fp32 output."""
    return -10 * math.log10(F.mse_loss(x, y).item() + 1e-9)
