"""Configurations of the model kinds."""

import math

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
