"""What a checkpoint's pickle describes, and the constructors that describe it."""

# Types by their names in the format: bytes of an element.
SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
    "C64": 8, "C128": 16, "quantised": 1, "quantised 32-bit": 4,
}
# Types that this program does not write.
UNWRITTEN = {"C64": "complex", "C128": "complex", "quantised": "quantised",
             "quantised 32-bit": "quantised"}
STORAGES = {
    "Double": "F64", "Float": "F32", "Half": "F16", "BFloat16": "BF16", "Long": "I64",
    "Int": "I32", "Short": "I16", "Char": "I8", "Byte": "U8", "Bool": "BOOL",
    "ComplexFloat": "C64", "ComplexDouble": "C128", "QInt8": "quantised", "QUInt8": "quantised",
    "QInt32": "quantised 32-bit",
}
DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "uint16": "U16",
    "uint32": "U32", "uint64": "U64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    "complex64": "C64", "complex128": "C128", "qint8": "quantised", "quint8": "quantised",
    "qint32": "quantised 32-bit",
}
# Other content of checkpoints. It is skipped, not constructed.
INERT = {
    "argparse.Namespace", "builtins.set", "builtins.frozenset", "builtins.slice",
    "builtins.complex", "builtins.bytearray", "builtins.object", "collections.Counter",
    "collections.deque", "copyreg._reconstructor", "datetime.datetime", "datetime.timedelta",
    "_codecs.encode", "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath",
    "pathlib._local.PosixPath", "types.SimpleNamespace", "torch.device", "torch.Size",
    "torch.Tensor", "torch.Generator", "torch.per_tensor_affine", "torch.per_channel_affine",
    "torch.serialization._get_layout", "numpy.dtype", "numpy.ndarray",
    "numpy.core.multiarray.scalar", "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar", "numpy._core.multiarray._reconstruct",
    "numpy._core.numeric._frombuffer", "numpy.core.numeric._frombuffer",
}
RANK_LIMIT = 32


class Refused(Exception):
    """What ends the program with one line."""


def printable(text, limit=200):
    """Text from a file, with characters escaped that could control a terminal."""
    text = "".join(c if c.isprintable() else "\\u{%X}" % ord(c) for c in text[:limit + 1])
    return text if len(text) <= limit else text[:limit] + "…"


class Global:
    """A name that a pickle refers to; nothing is imported."""

    def __init__(self, name):
        self.name = name


class Inert:
    """An object that is passed over; `what` names its class."""

    def __init__(self, what):
        self.what = what


class Storage:
    """Elements of one type: `key` names their bytes, which `data` holds once they are found."""

    def __init__(self, dtype, key, count, first=0):
        self.dtype, self.key, self.count, self.first = dtype, key, count, first
        self.data = None


class Tensor:
    def __init__(self, storage, offset, shape, strides, dtype):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides
        self.dtype, self.count = dtype, 1
        for size in shape:
            self.count *= size


class Odd:
    """A tensor that is more than numbers in a storage: quantised, sparse, without data."""

    def __init__(self, what):
        self.what = what


def is_count(value):
    return type(value) is int and 0 <= value < 1 << 62


def rebuilt(storage, offset, shape, strides, dtype=None):
    if not isinstance(storage, Storage):
        raise Refused("expected a tensor's storage, got something else")
    if not (type(shape) is tuple and type(strides) is tuple and len(shape) == len(strides)
            and len(shape) <= RANK_LIMIT and is_count(offset)
            and all(map(is_count, shape)) and all(map(is_count, strides))):
        raise Refused("expected a tensor's offset, sizes and strides from 0, in at most %d "
                      "dimensions, got something else" % RANK_LIMIT)
    tensor = Tensor(storage, offset, shape, strides, dtype or storage.dtype)
    elements = storage.count * SIZES[storage.dtype] // SIZES[tensor.dtype]
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides))
    if tensor.count and last >= elements:
        raise Refused("a tensor reaches element %d of a storage of %d" % (last, elements))
    return tensor


def rebuilt_plain(storage, offset, shape, strides, _requires_grad=False, _hooks=None, bits=None):
    # The bits that make a view the negative, or the conjugate, of what its storage holds.
    if type(bits) is dict and any(value is True for value in bits.values()):
        return Odd("negated or conjugated")
    return rebuilt(storage, offset, shape, strides)


def rebuilt_typed(storage, offset, shape, strides, _requires_grad, _hooks, dtype, *_):
    if not isinstance(dtype, Global) or dtype.name.removeprefix("torch.") not in DTYPES:
        raise Refused("expected the type of a tensor, got something else")
    return rebuilt(storage, offset, shape, strides, DTYPES[dtype.name.removeprefix("torch.")])


def rebuilt_as(make, _type, arguments, *_):
    if not isinstance(make, Global) or not make.name.startswith("torch._utils._rebuild"):
        raise Refused("expected a function that makes a tensor, got something else")
    if type(arguments) is not tuple:
        raise Refused("expected a tuple of arguments, got something else")
    return CONSTRUCTORS[make.name](*arguments)


CONSTRUCTORS = {
    "torch._utils._rebuild_tensor": rebuilt,
    "torch._utils._rebuild_tensor_v2": rebuilt_plain,
    "torch._utils._rebuild_tensor_v3": rebuilt_typed,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "torch._utils._rebuild_qtensor": lambda *_: Odd("quantised"),
    "torch._utils._rebuild_sparse_tensor": lambda *_: Odd("sparse"),
    "torch._utils._rebuild_sparse_csr_tensor": lambda *_: Odd("sparse"),
    "torch._utils._rebuild_nested_tensor": lambda *_: Odd("nested"),
    "torch._utils._rebuild_meta_tensor_no_storage": lambda *_: Odd("meta (without values)"),
    "torch._tensor._rebuild_from_type_v2": rebuilt_as,
    "torch.nn.parameter.Parameter": lambda data, *_: data,
    "collections.OrderedDict": lambda *pairs: dict_of(*pairs),
    "collections.defaultdict": lambda *_: {},
    "builtins.dict": lambda *pairs: dict_of(*pairs),
    # Not copied: a file could ask for many copies of one long list.
    "builtins.list": lambda items=None: [] if items is None else items,
    "builtins.tuple": lambda items=(): items,
}


def key_of(value):
    """`value` as a key. Tuples are not hashed: nested ones can take exponential time."""
    if type(value) in (str, bool, float, bytes, type(None)):
        return value
    if type(value) is int and abs(value) < 1 << 63:
        return value
    return Inert("key")


def dict_of(pairs=()):
    if type(pairs) is dict:
        return pairs
    if type(pairs) not in (list, tuple) or any(len(pair) != 2 for pair in pairs):
        raise Refused("expected the pairs of a dictionary, got something else")
    return {key_of(key): value for key, value in pairs}
