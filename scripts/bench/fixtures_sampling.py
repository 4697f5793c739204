"""Cases of operators that resample maps: grid samples, resizing, pooling, padding."""

from torch.nn import functional as F


def places(f, *shape):
    """Coordinates, some of them outside the map."""
    return f.normal(*shape, scale=0.6)


def samples(f):
    shapes = {
        # case: (map, sizes of the grid)
        "image": ((2, 3, 5, 4), (4, 5)), "channels": ((1, 9, 4, 5), (6, 3)),
        "row": ((1, 2, 1, 6), (3, 4)), "volume": ((1, 3, 3, 4, 5), (2, 3, 4)),
        "volumes": ((2, 2, 2, 2, 3), (2, 2, 2)),
    }
    for name, (size, grid) in shapes.items():
        for mode in ("bilinear", "nearest") if name in ("image", "volume") else ("bilinear",):
            for padding in "zeros", "border":
                for corners in (False,) if name == "volumes" else (False, True):
                    f.add(f"grid_sample_{name}_{mode}_{padding}_{corners}".lower(), "grid_sample",
                          dict(x=f.normal(*size), grid=places(f, size[0], *grid, len(grid))),
                          lambda x, grid, mode=mode, padding=padding, corners=corners:
                          F.grid_sample(x, grid, mode, padding, corners),
                          mode=mode, padding=padding, align_corners=corners)


def resizing(f):
    def add(case, shape, mode, corners=None, antialias=False, **target):
        given = dict(target)
        if "scale" in given:
            given["scale_factor"] = tuple(given.pop("scale"))
        f.add("interpolate_" + case, "interpolate", dict(x=f.normal(*shape)),
              lambda x: F.interpolate(x, mode=mode, align_corners=corners, antialias=antialias,
                                      **given),
              mode=mode, align_corners=bool(corners), antialias=antialias, **target)

    for mode in "nearest", "bilinear", "bicubic":
        for corners in ((None,) if mode == "nearest" else (False, True)):
            name = mode + ("_corners" if corners else "")
            add(f"{name}_up", (2, 3, 3, 4), mode, corners, scale=[2.0, 2.0])
            add(f"{name}_channels", (1, 2, 2, 3), mode, corners, scale=[2.0, 3.0])
            add(f"{name}_down", (1, 2, 5, 6), mode, corners, size=[3, 4])
            add(f"{name}_one", (1, 2, 1, 6), mode, corners, size=[3, 1])
        add(f"{mode}_odd", (1, 2, 5, 7), mode, size=[8, 3])
        add(f"{mode}_scale", (1, 2, 7, 6), mode, scale=[1.7, 0.6])
    for mode in "bilinear", "bicubic":
        add(f"{mode}_antialias", (1, 2, 13, 11), mode, False, True, size=[5, 4])
        add(f"{mode}_antialias_channels", (1, 2, 9, 4), mode, False, True, scale=[0.3, 0.5])
        add(f"{mode}_antialias_up", (1, 2, 5, 6), mode, False, True, size=[8, 3])
        add(f"{mode}_antialias_corners", (1, 2, 9, 8), mode, True, True, size=[4, 3])
    add("nearest_row", (2, 3, 7), "nearest", size=[10])
    add("linear", (2, 3, 7), "linear", False, size=[10])
    add("linear_corners", (2, 3, 7), "linear", True, size=[4])
    add("nearest_volume", (1, 2, 3, 4, 2), "nearest", scale=[2.0, 1.0, 2.0])
    add("trilinear", (2, 2, 3, 4, 3), "trilinear", False, size=[5, 6, 4])
    add("trilinear_corners", (1, 2, 3, 4, 2), "trilinear", True, scale=[2.0, 2.0, 2.0])
    add("trilinear_time", (1, 3, 2, 3, 3), "trilinear", False, size=[5, 3, 3])


def pooling(f):
    windows = {
        # case: (map, kernel, options)
        "plain": ((2, 3, 6, 8), (2, 2), {}), "channels": ((1, 2, 5, 4), (2, 2), {}),
        "wide": ((1, 2, 4, 5), (3, 2), dict(stride=[2, 1], padding=[1, 1])),
        "overlapping": ((2, 2, 7, 6), (3, 3), dict(stride=[1, 1], padding=[1, 1])),
        "apart": ((1, 3, 9, 8), (2, 2), dict(stride=[3, 4])),
        "ceil": ((1, 2, 6, 5), (3, 3), dict(stride=[2, 2], padding=[1, 1], ceil_mode=True)),
        "tall": ((1, 2, 40, 5), (3, 2), dict(stride=[2, 2])),
    }
    for name, (size, kernel, options) in windows.items():
        f.add("avg_pool2d_" + name, "avg_pool2d", dict(x=f.normal(*size)),
              lambda x: F.avg_pool2d(x, kernel, **options), kernel=list(kernel), **options)
        f.add("max_pool2d_" + name, "max_pool2d", dict(x=f.normal(*size)),
              lambda x: F.max_pool2d(x, kernel, **options), kernel=list(kernel), **options)
    f.add("max_pool2d_dilated", "max_pool2d", dict(x=f.normal(1, 2, 7, 6)),
          lambda x: F.max_pool2d(x, 3, 2, 1, 2), kernel=[3, 3], stride=[2, 2], padding=[1, 1],
          dilation=[2, 2])
    # Equal numbers: the first of them has the gradient.
    f.add("max_pool2d_ties", "max_pool2d", dict(x=f.normal(1, 2, 6, 6).sign()),
          lambda x: F.max_pool2d(x, 3, 2, 1), kernel=[3, 3], stride=[2, 2], padding=[1, 1])
    options = dict(stride=[2, 2], padding=[1, 1], ceil_mode=True)
    f.add("avg_pool2d_without_padding", "avg_pool2d", dict(x=f.normal(1, 2, 6, 7)),
          lambda x: F.avg_pool2d(x, 3, count_include_pad=False, **options), kernel=[3, 3],
          count_include_pad=False, **options)
    f.add("avg_pool2d_divisor", "avg_pool2d", dict(x=f.normal(1, 2, 6, 7)),
          lambda x: F.avg_pool2d(x, 3, divisor_override=5, **options), kernel=[3, 3],
          divisor_override=5, **options)
    for name, size, out in (("one", (2, 3, 5, 7), (1, 1)), ("few", (1, 2, 5, 6), (3, 4)),
                            ("more", (1, 2, 3, 4), (5, 6))):
        f.add("adaptive_avg_pool2d_" + name, "adaptive_avg_pool2d", dict(x=f.normal(*size)),
              lambda x: F.adaptive_avg_pool2d(x, out), size=list(out))


def padding(f):
    cases = {
        # case: (map, amounts in PyTorch's order, mode, value)
        "constant": ((2, 3, 4, 5), (1, 2, 0, 3), "constant", 0.5),
        "constant_channels": ((1, 2, 3, 4), (2, 1, 1, 0), "constant", -1.5),
        "constant_all": ((2, 2, 2, 3), (1, 0, 0, 2, 1, 1, 2, 0), "constant", 0.25),
        "constant_less": ((1, 3, 6, 7), (-1, 2, 1, -3), "constant", 0.0),
        "constant_vector": ((5,), (3, 1), "constant", 2.0),
        "rows": ((1, 2, 4, 5), (0, 0, 2, 1), "constant", 1.0),
        "edge": ((1, 2, 3, 4), (1, 2, 3, 1), "replicate", 0.0),
        "edge_volume": ((1, 2, 2, 3, 4), (1, 2, 0, 1, 2, 1), "replicate", 0.0),
        "edge_less": ((1, 2, 4, 5), (-1, 2, 3, -2), "replicate", 0.0),
        "reflect": ((2, 3, 4, 5), (1, 4, 3, 2), "reflect", 0.0),
        "reflect_channels": ((1, 2, 4, 3), (2, 1, 0, 3), "reflect", 0.0),
        "reflect_row": ((2, 2, 6), (5, 3), "reflect", 0.0),
        "reflect_volume": ((1, 2, 3, 3, 4), (1, 2, 2, 1, 2, 1), "reflect", 0.0),
        "circular": ((1, 2, 3, 3), (3, 1, 2, 1), "circular", 0.0),
    }
    for name, (size, sides, mode, value) in cases.items():
        f.add("pad_" + name, "pad", dict(x=f.normal(*size)),
              lambda x: F.pad(x, sides, mode, value if mode == "constant" else None),
              sides=list(sides), mode=mode, value=value)
