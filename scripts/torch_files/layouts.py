"""Checkpoint files: the zip of PyTorch 1.6 and later, and the sequence of pickles before it."""

import mmap
import os
import struct
import zipfile
import zlib

from torch_files.objects import SIZES, STORAGES, Global, Refused, Storage, is_count, printable
from torch_files.pickles import Pickle


def storage_named(tag, storage_type, key, _location, count, view=None):
    """The storage that a persistent id names."""
    if (tag != "storage" or not isinstance(storage_type, Global) or not is_count(count)
            or type(key) not in (str, int)):
        raise Refused("expected a storage's type, key and size, got something else")
    kind = storage_type.name.rpartition(".")[2].removesuffix("Storage")
    dtype = "U8" if kind == "Untyped" else STORAGES[kind]
    storage = Storage(dtype, str(key), count)
    if view is not None:
        _, first, length = view
        if not is_count(first) or not is_count(length) or first + length > count:
            raise Refused("a storage lies outside of the one that it is a view of")
        storage.first, storage.count = first, length
        storage.whole = count
    return storage


def read_zip(data, stream, inert):
    """The object of a zip, its storages with their bytes, and whether these are big-endian."""
    names = {}
    try:
        entries = zipfile.ZipFile(stream).infolist()
    except Exception:  # whatever the module makes of a damaged directory
        raise Refused("the zip is damaged: it has no directory")
    for info in entries:
        if info.filename in names:
            raise Refused("the zip has '%s' twice" % printable(info.filename))
        names[info.filename] = info
    pickles = [name for name in names if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refused("expected one data.pkl in the zip, got %d" % len(pickles))
    prefix = pickles[0][:-len("data.pkl")]
    if prefix + "constants.pkl" in names:
        raise Refused("a TorchScript archive, which is a program: save its state_dict()")

    unread = len(data)

    def content(name):
        nonlocal unread
        info = names.get(prefix + name)
        if info is None:
            raise Refused("the zip has no '%s'" % printable(prefix + name))
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise Refused("'%s' is compressed or encrypted, which PyTorch does not do"
                          % printable(info.filename))
        at = info.header_offset
        local = data[at:at + 30]
        if len(local) < 30 or bytes(local[:4]) != b"PK\3\4":
            raise Refused("the zip is damaged: '%s' has no header" % printable(info.filename))
        start = at + 30 + sum(struct.unpack("<HH", local[26:30]))
        if info.file_size != info.compress_size or start + info.file_size > len(data):
            raise Refused("the zip is damaged: '%s' reaches beyond the file"
                          % printable(info.filename))
        unread -= info.file_size
        if unread < 0:
            raise Refused("the zip is damaged: its entries overlap")
        found = data[start:start + info.file_size]
        if zlib.crc32(found) != info.CRC:
            raise Refused("'%s': its checksum is wrong: the file is damaged, or was written without"
                          % printable(info.filename))
        return found

    order = bytes(content("byteorder")) if prefix + "byteorder" in names else b"little"
    if order not in (b"little", b"big"):
        raise Refused("expected the byte order little or big, got '%s'"
                      % printable(order[:20].decode("latin-1")))
    found = {}

    def persistent(identity):
        storage = storage_named(*identity)
        if len(identity) > 5:
            raise Refused("a view of a storage, which a zip does not have")
        if storage.key not in found:
            found[storage.key] = content("data/" + storage.key)
        storage.data = found[storage.key]
        if storage.count * SIZES[storage.dtype] > len(storage.data):
            raise Refused("storage '%s': expected %d elements, got %d bytes"
                          % (printable(storage.key), storage.count, len(storage.data)))
        return storage

    return Pickle(content("data.pkl"), 0, persistent, inert).read(), order == b"big"


LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read_legacy(data, inert):
    """The same of a sequence of pickles: a magic number, a version, the machine, the object, the
    keys of the storages; then for each key the number of elements, and the elements."""
    storages = {}

    def nothing(_):
        raise Refused("a storage where none is expected")

    def persistent(identity):
        if type(identity) is tuple and identity[:1] == ("module",):
            raise Refused("a whole model was saved, which is a program: save its state_dict()")
        storage = storage_named(*identity)
        storages.setdefault(storage.key, []).append(storage)
        return storage

    at = 0
    header = []
    for reader in (nothing, nothing, nothing, persistent, nothing):
        pickle = Pickle(data, at, reader, inert)
        header.append(pickle.read())
        at = pickle.at
        if len(header) == 1 and header[0] != LEGACY_MAGIC:
            raise Refused("expected a checkpoint of PyTorch, got another pickle")
    _, _, machine, value, keys = header
    if type(keys) is not list or any(
            type(key) not in (str, int) or str(key) not in storages for key in keys):
        raise Refused("expected the keys of the tensors' storages, got others")
    big = type(machine) is dict and machine.get("little_endian") is False
    for key in map(str, keys):
        if len(data) - at < 8:
            raise Refused("the file ends before storage '%s'" % printable(key))
        (count,) = struct.unpack(">q" if big else "<q", data[at:at + 8])
        size = SIZES[storages[key][0].dtype]
        at += 8
        if count < 0 or count * size > len(data) - at:
            raise Refused("the file ends within storage '%s'" % printable(key))
        for storage in storages[key]:
            if getattr(storage, "whole", storage.count) != count or SIZES[storage.dtype] != size:
                raise Refused("storage '%s': expected %d elements, got %d"
                              % (printable(key), getattr(storage, "whole", storage.count), count))
            first = at + storage.first * size
            storage.data = data[first:first + storage.count * size]
        at += count * size
    for key, several in storages.items():
        if several[0].data is None:
            raise Refused("the file has no bytes of storage '%s'" % printable(key))
    return value, big


def read_checkpoint(path, inert):
    """(object, whether its storages are big-endian, bytes of the file)."""
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size == 0:
            raise Refused("the file is empty")
        data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        if bytes(data[:4]) == b"PK\3\4":
            return *read_zip(data, stream, inert), size
        if data[0] == 0x80:
            return *read_legacy(data, inert), size
    raise Refused("neither a zip nor a sequence of pickles, as PyTorch writes them")
