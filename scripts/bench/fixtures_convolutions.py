"""Cases of convolutions: options per axis, dilation, groups, transposed and over frames.

Written to Tests/TensorsTests/fixtures/convolutions.safetensors by make_fixtures.py.
"""

from torch.nn import functional as F


def _add(f, case, op, function, x, w, bias=True, **options):
    outputs = w[1] * options.get("groups", 1) if op == "conv_transpose2d" else w[0]
    inputs = dict(x=f.normal(*x), w=f.normal(*w, scale=0.3))
    if bias:
        inputs["b"] = f.normal(outputs)
    f.add(case, op, inputs, lambda x, w, b=None: function(x, w, b, **options), **options)


def planes(f):
    def add(case, x, w, **options):
        _add(f, "conv2d_" + case, "conv2d", F.conv2d, x, w, **options)

    add("axes", (2, 5, 7, 9), (3, 5, 3, 2), stride=(2, 1), padding=(1, 0))
    add("dilation", (1, 5, 9, 8), (6, 5, 3, 3), dilation=2, padding=2)
    add("dilation_axes", (1, 3, 9, 13), (5, 3, 3, 3), dilation=(1, 4), padding=(0, 4), stride=(1, 2))
    add("same", (1, 5, 6, 7), (4, 5, 3, 3), padding="same")
    add("same_even", (1, 5, 6, 7), (4, 5, 2, 4), padding="same")
    add("same_dilation", (1, 5, 6, 7), (4, 5, 4, 3), padding="same", dilation=(3, 2))
    add("wide_stride", (1, 3, 13, 11), (5, 3, 2, 2), stride=(6, 5), padding=1)
    add("depthwise_stride", (2, 5, 7, 8), (5, 1, 3, 3), stride=2, padding=1, groups=5)
    add("depthwise_stride_c17", (1, 17, 6, 5), (17, 1, 3, 5), stride=(1, 2), padding=(1, 2), groups=17)
    add("depthwise_dilation", (1, 9, 7, 8), (9, 1, 3, 3), dilation=2, padding=2, groups=9)
    add("depthwise_twice", (1, 6, 5, 6), (12, 1, 3, 3), padding=1, groups=6)
    add("groups_of_4", (2, 12, 5, 6), (12, 4, 3, 3), padding=1, groups=3)
    add("groups_axes", (1, 6, 7, 6), (9, 2, 3, 1), stride=(2, 1), dilation=(2, 1), groups=3)
    add("groups_of_17", (1, 34, 4, 3), (34, 17, 3, 3), padding=1, groups=2, bias=False)


def transposed(f):
    def add(case, x, w, **options):
        _add(f, "conv_transpose2d_" + case, "conv_transpose2d", F.conv_transpose2d, x, w, **options)

    add("k3", (2, 5, 4, 5), (5, 3, 3, 3), padding=1)
    add("k4_s2", (1, 5, 4, 5), (5, 6, 4, 4), stride=2, padding=1)
    add("k2_s2", (2, 3, 3, 4), (3, 5, 2, 2), stride=2)
    add("output_padding", (1, 5, 4, 3), (5, 8, 3, 3), stride=2, padding=1, output_padding=1)
    add("axes", (1, 4, 3, 5), (4, 3, 3, 5), stride=(3, 1), padding=(1, 2), output_padding=(2, 0),
        bias=False)
    add("dilation", (1, 4, 3, 4), (4, 5, 3, 2), stride=2, dilation=(1, 3), padding=1,
        output_padding=(1, 2))
    add("groups", (1, 6, 3, 4), (6, 2, 3, 3), stride=2, groups=3)
    add("depthwise", (1, 9, 3, 4), (9, 1, 4, 4), stride=2, padding=1, groups=9)
    add("apart", (1, 3, 3, 2), (3, 5, 2, 1), stride=(4, 3))


def frames(f):
    def add(case, x, w, **options):
        _add(f, "conv3d_" + case, "conv3d", F.conv3d, x, w, **options)

    add("k3", (1, 3, 4, 5, 6), (5, 3, 3, 3, 3), padding=1)
    add("axes", (2, 3, 5, 6, 5), (4, 3, 3, 2, 3), stride=(2, 1, 2), padding=(1, 0, 1))
    add("dilation", (1, 2, 6, 7, 5), (3, 2, 2, 3, 3), dilation=(3, 2, 1))
    add("same", (1, 3, 4, 4, 5), (6, 3, 2, 3, 3), padding="same")
    add("groups", (1, 6, 3, 4, 4), (9, 2, 2, 3, 3), groups=3, bias=False)
    add("depthwise", (1, 5, 4, 4, 5), (5, 1, 3, 3, 3), padding=1, groups=5)
