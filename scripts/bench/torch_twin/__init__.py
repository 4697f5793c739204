"""A PyTorch twin of lunerv's models, losses and optimisers: the other side of every comparison.

It computes the same as lunerv, in plain eager PyTorch, for three uses: `check_twin.py` checks it
against a golden file, `torch_bench.py` times it, `make_fixtures.py` stores single operators of it.

Model kinds: nerv, enerv, hnerv (baselines: arXiv 2110.13903, 2207.08132, 2304.02633) and
nerv_boost, enerv_boost, hnerv_boost (arXiv 2402.18152). Parameters have the names of the
published checkpoints, so `load_state_dict` takes those directly. Tensors are NCHW, fp32.
Frame i of N (from 0) has time t = (i + 1) / N.
"""

from .layers import PositionalEncoding, TATResidual
from .losses import boosted_loss, freq_loss, loss_of, ms_ssim, psnr, ssim, ssim_layout
from .models import build
from .optimisers import Adam, Adan, optimiser_of
from .settings import width_from_budget
