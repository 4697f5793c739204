"""The values of tensors, and the safetensors file that holds them."""

import array
import json
import os
import struct
import tempfile

from torch_files.objects import SIZES, Refused, printable

HEADER_LIMIT = 16 << 20
TEMPORARY = ".pth2safetensors-"


def merged(shape, strides):
    """Dimensions of one memory layout: without those of size 1, neighbours joined where they are
    one run of elements."""
    result = []
    for size, stride in zip(shape, strides):
        if size == 1:
            continue
        if result and result[-1][1] == size * stride:
            result[-1] = (result[-1][0] * size, stride)
        else:
            result.append((size, stride))
    return result


def packed(tensor, big):
    """The bytes of a tensor, row-major and little-endian."""
    size = SIZES[tensor.dtype]
    data, dims = tensor.storage.data, merged(tensor.shape, tensor.strides)
    if tensor.count == 0:
        return b""
    if not dims or dims == [(tensor.count, 1)]:
        result = data[tensor.offset * size:(tensor.offset + tensor.count) * size]
    else:
        form = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
        source = data[:len(data) // size * size].cast(form)
        result = bytearray(tensor.count * size)
        target = memoryview(result).cast(form)
        # Slices run along the longest dimension, and a loop over all the others.
        steps, step = [], tensor.count
        for extent, stride in dims:
            step //= extent
            steps.append((extent, stride, step))
        extent, stride, step = longest = max(steps)
        steps.remove(longest)
        places = [(tensor.offset, 0)]
        for e, s, t in steps:
            places = [(a + i * s, b + i * t) for a, b in places for i in range(e)]
        for a, b in places:
            # A stride of 0 repeats one element.
            run = (source[a:a + (extent - 1) * stride + 1:stride] if stride
                   else memoryview(bytes(source[a:a + 1]) * extent).cast(form))
            target[b:b + (extent - 1) * step + 1:step] = run
    if big and size > 1:
        swapped = array.array({2: "H", 4: "I", 8: "Q"}[size], bytes(result))
        swapped.byteswap()
        result = swapped.tobytes()
    return result


def as_single(name, dtype, data):
    """Floating point as 32 bits: a finite value beyond their range is refused."""
    if dtype == "BF16":
        result = bytearray(2 * len(data))
        result[2::4], result[3::4] = data[0::2], data[1::2]
        return result
    size, form = SIZES[dtype], {"F64": "d", "F16": "e"}[dtype]
    result = bytearray()
    for at in range(0, len(data), size << 16):
        part = bytes(data[at:at + (size << 16)])
        numbers = struct.unpack("<%d%s" % (len(part) // size, form), part)
        try:
            result += struct.pack("<%df" % len(numbers), *numbers)
        except OverflowError:
            raise Refused("'%s' has values beyond the range of f32" % printable(name))
    return result


def write(path, tensors, big, single):
    """Writes the tensors, wider types first so that each is aligned; whole or not at all."""
    def stored(tensor):
        return "F32" if single and tensor.dtype in ("F64", "F16", "BF16") else tensor.dtype

    order = sorted(tensors, key=lambda name: -SIZES[stored(tensors[name])])
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name in order:
        tensor = tensors[name]
        start, end = end, end + tensor.count * SIZES[stored(tensor)]
        header[name] = {"dtype": stored(tensor), "shape": list(tensor.shape),
                        "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise Refused("names make a header of more than %d bytes" % HEADER_LIMIT)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name in order:
                data = packed(tensors[name], big)
                changes = stored(tensors[name]) != tensors[name].dtype
                file.write(as_single(name, tensors[name].dtype, data) if changes else data)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return 8 + len(text) + end
