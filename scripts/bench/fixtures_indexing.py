"""Cases of operators that order, index, arrange and contract, of further pointwise functions and
norms, and of linear algebra; for make_fixtures.py. Indices in options count from 1."""

import torch
from torch.nn import functional as F


def index(f, *shape, high):
    return torch.randint(0, high, shape, generator=f.random)


def listed(places):
    return (places + 1).flatten().tolist()


def ordering(f):
    for case, shape, dim in (("last", (3, 9), 1), ("middle", (2, 5, 3), 1), ("image", (2, 3, 4, 5), 2)):
        f.add(f"cumsum_{case}", "cumsum", dict(x=f.normal(*shape)),
              lambda x, dim=dim: x.cumsum(dim), dim=dim)
        for way in (False, True):
            f.add(f"sort_{case}_{way}", "sort", dict(x=f.normal(*shape).round(decimals=1).half().double()),
                  lambda x, dim=dim, way=way: x.sort(dim=dim, descending=way, stable=True)[0],
                  dim=dim, descending=way)
        for largest in (False, True):
            f.add(f"topk_{case}_{largest}", "topk", dict(x=f.normal(*shape)),
                  lambda x, dim=dim, largest=largest: x.topk(2, dim, largest)[0],
                  dim=dim, k=2, largest=largest)
    f.add("sort_many", "sort", dict(x=f.normal(2, 150)),
          lambda x: x.sort(dim=1, stable=True)[0], dim=1, descending=False)


def indexing(f):
    for case, full, small, dim in (
            ("rows", (4, 5), (3, 5), 0), ("narrow", (3, 6, 4), (2, 7, 3), 1),
            ("image", (2, 5, 3, 4), (2, 6, 3, 4), 1), ("list", (9,), (12,), 0)):
        places = index(f, *small, high=full[dim])
        options = dict(dim=dim, index=listed(places), shape=list(small))
        f.add(f"gather_{case}", "gather", dict(x=f.normal(*full)),
              lambda x: x.gather(dim, places), **options)
        f.add(f"scatter_add_{case}", "scatter_add", dict(x=f.normal(*full), y=f.normal(*small)),
              lambda x, y: x.scatter_add(dim, places, y), **options)
        # No place occurs twice: PyTorch leaves open which value then stays.
        lines = torch.argsort(torch.rand(full, generator=f.random), dim)
        places = lines[tuple(slice(min(a, b)) for a, b in zip(small, full))]
        options = dict(dim=dim, index=listed(places), shape=list(places.shape))
        f.add(f"scatter_{case}", "scatter", dict(x=f.normal(*full), y=f.normal(*places.shape)),
              lambda x, y: x.scatter(dim, places, y), **options)
    for dim in range(4):
        shape = [2, 5, 3, 4]
        places = index(f, 6, high=shape[dim])
        options = dict(dim=dim, index=listed(places))
        f.add(f"index_select_{dim}", "index_select", dict(x=f.normal(*shape)),
              lambda x: x.index_select(dim, places), **options)
        source = shape[:dim] + [6] + shape[dim + 1:]
        f.add(f"index_add_{dim}", "index_add", dict(x=f.normal(*shape), y=f.normal(*source)),
              lambda x, y: x.index_add(dim, places, y), **options)


def arranging(f):
    for dims in ([1], [2, 3], [0, 1, 2, 3]):
        f.add("flip_" + "".join(map(str, dims)), "flip", dict(x=f.normal(2, 5, 3, 4)),
              lambda x: x.flip(dims), dims=dims)
    for shifts, dims in (([1], [1]), ([-5, 2], [2, 3]), ([1, 1, 7], [0, 1, 1]), ([3], [])):
        f.add("roll_" + "".join(map(str, dims)), "roll", dict(x=f.normal(2, 5, 3, 4)),
              lambda x: x.roll(shifts, dims), shifts=shifts, dims=dims)
    for op in ("tril", "triu"):
        for diagonal in (-2, 0, 1, 9):
            f.add(f"{op}_{diagonal}", op, dict(x=f.normal(2, 4, 5)),
                  lambda x: getattr(x, op)(diagonal), diagonal=diagonal)


def contracting(f):
    f.add("bmm", "bmm", dict(x=f.normal(2, 3, 4), y=f.normal(2, 4, 5)), torch.bmm)
    f.add("outer", "outer", dict(x=f.normal(3), y=f.normal(4)), torch.outer)
    for equation, a, b in (
            ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("ij,kj", (3, 4), (5, 4)),
            ("nchw,oc->nohw", (2, 3, 2, 4), (5, 3)), ("i,j->ij", (3,), (4,)),
            ("abc,cbd->da", (2, 3, 4), (4, 3, 5)), ("iij,jk->ki", (3, 3, 2), (2, 4)),
            ("ij,ij->", (3, 4), (3, 4)), ("ijk,l->lj", (2, 3, 4), (5,)),
            ("ij->ji", (3, 4), None), ("ii", (4, 4), None), ("ii->i", (4, 4), None),
            ("bca", (2, 3, 4), None), ("ijk->j", (2, 3, 4), None)):
        inputs = dict(x=f.normal(*a), **({"y": f.normal(*b)} if b else {}))
        f.add(f"einsum_{equation}", "einsum", inputs,
              lambda *t: torch.einsum(equation, *t), equation=equation)
    for equation, *shapes in (
            ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("i,i,i->i", (3,), (3,), (3,)),
            ("ij,jk,ik->j", (2, 3), (3, 4), (2, 4)), ("a,b,ab", (2,), (3,), (2, 3)),
            ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)), ("i...,...->...", (2, 3, 4), (1, 4)),
            ("...i,ij", (3, 2, 4), (4, 5)), ("...", (2, 3)), ("b...->...b", (2, 3, 4)),
            ("...ij,jk,k->i", (2, 3, 4), (4, 5), (5,))):
        inputs = dict(zip("xyz", (f.normal(*shape) for shape in shapes)))
        f.add(f"einsum_{equation}", "einsum", inputs,
              lambda *t: torch.einsum(equation, *t), equation=equation)


def functions(f):
    tails = torch.tensor([0.0, 1e-4, -1e-4, 5.0, -5.0, 12.0, -12.0, 30.0, -30.0, 80.0, 0.5]).double()
    x = torch.cat([f.normal(31, scale=2), tails]).float().double()
    for op, function in dict(softplus=lambda x: F.softplus(x, threshold=200), hardswish=F.hardswish,
                             leaky_relu=lambda x: F.leaky_relu(x, 0.1)).items():
        f.add(op, op, dict(x=x), function)
    f.add("softplus_beta", "softplus", dict(x=x), lambda x: F.softplus(x, 2.5, 200), beta=2.5)
    f.add("expm1", "expm1", dict(x=x.clamp(-30, 12)), torch.expm1)
    f.add("log1p", "log1p", dict(x=torch.cat([x.abs(), -x[:31].abs().clamp(max=0.9)])), torch.log1p)
    f.add("log2", "log2", dict(x=f.normal(31).abs() + 2.0**-10), torch.log2)
    f.add("atan2", "atan2", dict(x=f.normal(3, 17), y=f.normal(17)), torch.atan2)
    for case, dims in (("all", [0, 1, 2]), ("last", [2]), ("two", [0, 1])):
        for keep in (False, True):
            f.add(f"logsumexp_{case}_{keep}", "logsumexp", dict(x=f.normal(2, 3, 5, scale=30)),
                  lambda x: x.logsumexp(dims, keep), dims=dims, keep=keep)


def norms(f):
    c = 5
    inputs = lambda: dict(x=f.normal(2, c, 3, 4), w=f.normal(c), b=f.normal(c))
    f.add("batch_norm", "batch_norm", inputs(),
          lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=1e-5), eps=1e-5)
    f.add("batch_norm_list", "batch_norm", dict(x=f.normal(7, c), w=f.normal(c), b=f.normal(c)),
          lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=1e-3), eps=1e-3)
    mean, var = f.normal(c), f.normal(c).abs() + 0.5
    f.add("batch_norm_running", "batch_norm", inputs(),
          lambda x, w, b: F.batch_norm(x, mean, var, w, b, False, eps=1e-5), eps=1e-5,
          mean=mean.tolist(), var=var.tolist())
    for case, shape, groups in (("image", (2, 6, 3, 4), 3), ("one", (2, 6, 3, 4), 1),
                                ("line", (2, 6, 5), 2), ("wide", (1, 20, 2, 3), 4)):
        c = shape[1]
        f.add(f"group_norm_{case}", "group_norm", dict(x=f.normal(*shape), w=f.normal(c), b=f.normal(c)),
              lambda x, w, b: F.group_norm(x, groups, w, b, 1e-5), groups=groups, eps=1e-5)
    f.add("rms_norm", "rms_norm", dict(x=f.normal(2, 3, 7), w=f.normal(7)),
          lambda x, w: F.rms_norm(x, (7,), w, 1e-6), dim=2, eps=1e-6)
    f.add("rms_norm_channels", "rms_norm", dict(x=f.normal(2, 5, 3, 4), w=f.normal(5)),
          lambda x, w: F.rms_norm(x.movedim(1, -1), (5,), w, 1e-6).movedim(-1, 1), dim=1, eps=1e-6)


def algebra(f):
    def symmetric(x):
        return x + x.mT

    def positive(x):
        return x @ x.mT + 3 * torch.eye(x.shape[-1], dtype=x.dtype)
    for case, shape in (("one", (5, 5)), ("batch", (2, 3, 4, 4))):
        # The signs of the vectors are arbitrary: their squares and the values are not.
        def values_and_squares(x):
            values, vectors = torch.linalg.eigh(symmetric(x))
            return torch.cat([values.unsqueeze(-2), vectors.square()], -2)
        f.add(f"eigh_{case}", "eigh", dict(x=f.normal(*shape)), values_and_squares)
        f.add(f"cholesky_{case}", "cholesky", dict(x=f.normal(*shape)),
              lambda x: torch.linalg.cholesky(positive(x)))
        b = f.normal(*shape[:-1], 3)
        f.add(f"solve_{case}", "solve", dict(x=f.normal(*shape) + 3 * torch.eye(shape[-1]), y=b),
              torch.linalg.solve)
        f.add(f"solve_vector_{case}", "solve",
              dict(x=f.normal(*shape) + 3 * torch.eye(shape[-1]), y=f.normal(*shape[:-1])),
              torch.linalg.solve)
    f.add("solve_stretched", "solve", dict(x=f.normal(4, 4) + 3 * torch.eye(4), y=f.normal(2, 4, 3)),
          torch.linalg.solve)
    for case, shape in (("square", (4, 4)), ("tall", (2, 6, 3)), ("wide", (2, 3, 5))):
        f.add(f"qr_q_{case}", "qr_q", dict(x=f.normal(*shape)), lambda x: torch.linalg.qr(x)[0])
        f.add(f"qr_r_{case}", "qr_r", dict(x=f.normal(*shape)), lambda x: torch.linalg.qr(x)[1])
    for h, w in ((4, 6), (5, 7), (3, 4), (2, 1)):
        f.add(f"irfft2_{h}_{w}", "irfft2", dict(x=f.normal(2, h, w // 2 + 1, 2)),
              lambda x: torch.fft.irfft2(torch.view_as_complex(x), s=(h, w)), width=w)


GROUPS = [ordering, indexing, arranging, contracting, functions, norms, algebra]
