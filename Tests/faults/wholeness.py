"""Checks that files are complete, and that no partial ones remain."""

import functools
import json
import os
import pathlib
import struct
import subprocess


def files(folder):
    """The paths of all files in a folder, relative to it."""
    return sorted(str(p.relative_to(folder)) for p in pathlib.Path(folder).rglob("*")
                  if p.is_file() or p.is_symlink())


def temporaries(folder):
    """Files that no run may leave."""
    return [str(p.relative_to(folder)) for p in sorted(pathlib.Path(folder).rglob("*"))
            if p.name.endswith(".tmp") or p.name.startswith(("lunerv-cache-", ".lunerv-"))]


def age(folder):
    """Makes the remains of a run a minute older: younger ones may be another process's."""
    for name in temporaries(folder):
        path = pathlib.Path(folder) / name
        before = path.stat().st_mtime - 120
        os.utime(path, (before, before))


def problems(folder, before, after, program):
    """(name, problem) of the files that are neither unchanged, nor as expected, nor complete by
    themselves; and of missing files of the user. Work folders are the program's own."""
    folder, before, after = map(pathlib.Path, (folder, before, after))
    for name in files(before):
        if "/" not in name and not (folder / name).exists():
            yield name, "it is gone"
    for name in files(folder):
        if name.endswith(".tmp"):
            continue
        data = (folder / name).read_bytes()
        same = exact(folder / name) if name.endswith(".mp4") else None
        if any((at / name).is_file() and ((at / name).read_bytes() == data
                                          or same and exact(at / name) == same)
               for at in (before, after)):
            continue
        problem = broken(folder / name, data, program)
        if problem:
            yield name, problem


def broken(path, data, program):
    """The fault of a file that differs from earlier runs' bytes; None if it is complete."""
    suffix = "events" if ".tfevents." in path.name else path.suffix
    if suffix == ".json":
        try:
            json.loads(data)
        except ValueError as problem:
            return f"invalid JSON: {problem}"
    elif suffix == ".safetensors":
        return broken_safetensors(data)
    elif suffix == ".lnv":
        outcome = subprocess.run([program, "info", str(path)], capture_output=True)
        if outcome.returncode != 0:
            return outcome.stderr.decode(errors="replace")
    elif suffix == "events":
        return broken_records(data)
    elif suffix == ".html":
        if not data.rstrip().endswith(b"</html>"):
            return "the page has no end"
    elif suffix in (".csv", ".md", ".svg"):
        if not data.endswith((b"\n", b"</svg>")):
            return "the last line has no end"
    elif suffix in (".mkv", ".mp4", ".264", ".265", ".y4m", ".png", ".rgb", ".raw"):
        return "it is neither the old nor the new one"
    return None


def broken_safetensors(data):
    if len(data) < 8:
        return "no header"
    size, = struct.unpack_from("<Q", data)
    try:
        header = json.loads(data[8:8 + size])
    except ValueError as problem:
        return f"no header: {problem}"
    ends = [e["data_offsets"][1] for name, e in header.items() if name != "__metadata__"]
    if 8 + size + max(ends, default=0) != len(data):
        return f"{len(data)} bytes, not {8 + size + max(ends, default=0)}"
    return None


@functools.cache
def crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


def masked(data):
    """TFRecord's checksum."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ crc_table()[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def broken_records(data):
    at = 0
    while at < len(data):
        if at + 12 > len(data):
            return "half a record"
        size, crc = struct.unpack_from("<QI", data, at)
        if masked(data[at:at + 8]) != crc or at + 16 + size > len(data):
            return "half a record"
        body = data[at + 12:at + 12 + size]
        if masked(body) != struct.unpack_from("<I", data, at + 12 + size)[0]:
            return "a record of other bytes"
        at += 16 + size
    return None


# The program, which decodes videos for the comparison.
program = None


def frames(path):
    """The times and pixels of a video. A lack of memory may lose what players do not need, such as an
    index at the beginning."""
    script = """local lv = require "lunerv"
        local clip = assert(lv.video.open(arg[1]))
        for i, time in ipairs(clip.timestamps) do
          print(time, table.concat(clip:frame_u8(i):view(-1):tolist(), " "))
        end"""
    outcome = subprocess.run([program, "run", "-e", script, "--", str(path)], capture_output=True)
    return outcome.stdout if outcome.returncode == 0 else None


def exact(path):
    """What must not differ from run to run in a file: bytes, but for times and paths."""
    path = pathlib.Path(path)
    if not path.exists():
        return None
    if path.is_dir():
        return {name: exact(path / name) for name in files(path)}
    if path.suffix == ".mp4":
        return frames(path)
    data = path.read_bytes()
    if path.suffix == ".json":
        return without_times(json.loads(data))
    if path.suffix == ".safetensors":
        size, = struct.unpack_from("<Q", data)
        return data[8 + size:]  # the header contains seconds
    return data


timely = {"seconds", "seconds_per_step", "peak_rss_bytes", "command", "time", "started", "threads"}


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in timely}
    if isinstance(value, list):
        return [without_times(v) for v in value]
    return value
