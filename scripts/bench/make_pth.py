"""Writes the small checkpoints of Tests/python, and their content as PyTorch reads it.

    python3 make_pth.py [FOLDER]

FOLDER is Tests/python/files by default. `NAME.pth` is a checkpoint, and `expected.json` has the
tensors of each: name -> [dtype, shape, values].
"""

import argparse
import json
import os
import sys
from collections import OrderedDict

import torch

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Tests/python/files")


def values(count, dtype=torch.float32, first=0.0):
    """Numbers that every type holds exactly."""
    return (torch.arange(count) * 0.5 + first).to(dtype)


def views():
    """Tensors that share one storage, in every order."""
    base = values(24)
    grid = base.view(4, 6)
    return OrderedDict(
        whole=base, rows=grid[1:3], columns=grid[:, 2:4], every_other=base[1::2],
        transposed=grid.t(), shared=base, scalar=base[7], repeated=base[3:5].expand(3, 2),
        channels_last=values(48).view(2, 3, 2, 4).contiguous(memory_format=torch.channels_last),
        permuted=base.view(2, 3, 4).permute(2, 0, 1), empty=torch.zeros(0, 3))


def types():
    return OrderedDict(
        f64=values(5, torch.float64), f32=values(5), f16=values(5, torch.float16),
        bf16=values(5, torch.bfloat16), i64=torch.tensor([-(1 << 40), 3]),
        i32=values(4, torch.int32), i16=values(3, torch.int16), i8=values(3, torch.int8),
        u8=values(3, torch.uint8), bool=torch.tensor([True, False, True]),
        u16=torch.tensor([1, 65535]).to(torch.uint16),
        f64_view=values(12, torch.float64).view(3, 4).t(),
        bf16_view=values(6, torch.bfloat16).view(2, 3).t())


def trained():
    """A checkpoint as training programs write it, with entries that are no tensors."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    optimiser = torch.optim.Adam(model.parameters())
    model(values(50).view(1, 2, 5, 5)).sum().backward()
    optimiser.step()
    parallel = torch.nn.DataParallel(model)
    return {
        "state_dict": parallel.state_dict(), "optimizer": optimiser.state_dict(), "epoch": 3,
        "args": argparse.Namespace(lr=1e-3, name="run"), "best": float("inf"),
        "shape": torch.Size([1, 2]), "kind": torch.float16,
    }


def parameters():
    return {"weight": torch.nn.Parameter(values(6).view(2, 3)),
            "frozen": torch.nn.Parameter(values(2), requires_grad=False),
            "nested": {"deep": {"tensor": values(2)}}}


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else FOLDER
    os.makedirs(folder, exist_ok=True)
    expected = {}

    def save(name, content, tensors, **options):
        torch.save(content, os.path.join(folder, name + ".pth"), **options)
        expected[name] = {key: [str(t.dtype).removeprefix("torch."), list(t.shape), t.tolist()]
                          for key, t in tensors.items()}

    legacy = dict(_use_new_zipfile_serialization=False)
    for suffix, options in (("", {}), ("_legacy", legacy)):
        save("views" + suffix, views(), views(), **options)
        save("types" + suffix, types(), types(), **options)
        save("trained" + suffix, trained(), trained()["state_dict"], **options)
    flat = parameters()
    flat["nested.deep.tensor"] = flat.pop("nested")["deep"]["tensor"]
    save("parameters", parameters(), {name: t.detach() for name, t in flat.items()})
    save("protocol4", views(), views(), pickle_protocol=4)

    torch.backends.quantized.engine = "fbgemm"
    quantised = torch.quantize_per_tensor(values(4), 0.1, 3, torch.quint8)
    save("quantised", {"fc.weight": quantised, "fc.scale": torch.tensor(0.1)}, {})
    save("complex", {"z": torch.zeros(2, dtype=torch.complex64)}, {})
    save("negated", {"n": torch.zeros(2, dtype=torch.complex64).conj().imag}, {})
    save("sparse", {"s": values(4).view(2, 2).to_sparse()}, {})
    save("model", torch.nn.Linear(2, 1), {})
    with open(os.path.join(folder, "expected.json"), "w") as file:
        json.dump(expected, file, indent=None, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
