"""A training step through a custom block in PyTorch: the twin of sampling_step.lua.

    python3 sampling_step.py [WIDTH HEIGHT [STEPS]]

Prints the median seconds per step. OMP_NUM_THREADS sets the number of threads.
"""

import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

width, height, steps = ([int(v) for v in sys.argv[1:]] + [1280, 720, 5][len(sys.argv) - 1:])[:3]


class Warp(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.flow = nn.Conv2d(2 * channels, 2, 3, padding=1)
        self.merge = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.head = nn.Conv2d(channels, 3, 3, padding=1)
        x = ((torch.arange(width) + 0.5) * (2 / width) - 1)[None, :].expand(height, width)
        y = ((torch.arange(height) + 0.5) * (2 / height) - 1)[:, None].expand(height, width)
        self.register_buffer("places", torch.stack([x, y])[None])

    def forward(self, now, before):
        now = F.interpolate(now, scale_factor=2, mode="bilinear")
        before = F.interpolate(before, scale_factor=2, mode="bilinear")
        flow = self.flow(torch.cat([now, before], 1)).tanh() * 0.1
        grid = (self.places + flow).permute(0, 2, 3, 1)
        warped = F.grid_sample(before, grid, padding_mode="border", align_corners=False)
        return self.head(F.gelu(self.merge(torch.cat([now, warped], 1)))).sigmoid()


torch.manual_seed(1)
block = Warp(16)
now = nn.Parameter(torch.randn(1, 16, height // 2, width // 2) * 0.3)
before = nn.Parameter(torch.randn(1, 16, height // 2, width // 2) * 0.3)
frame = torch.rand(1, 3, height, width)
optimiser = torch.optim.Adam([*block.parameters(), now, before], lr=1e-3)

seconds = []
for step in range(steps + 1):
    began = time.perf_counter()
    optimiser.zero_grad()
    loss = F.l1_loss(block(now, before), frame)
    loss.backward()
    optimiser.step()
    if step > 0:
        seconds.append(time.perf_counter() - began)
seconds.sort()
print(f"{seconds[(len(seconds) - 1) // 2]:.4f}")
