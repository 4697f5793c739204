"""A cable between two network namespaces, in user space: `relay.py NAMESPACE NAMESPACE`.

Gives each namespace a network device, `cable0` with the addresses 10.77.0.1 and .2, and carries
packets between them. It prints "ready", and then obeys lines on its standard input: `delay SECONDS`
(each way), `rate BITS` (per second, each way; 0: no limit), `cut` and `mend`. Ends with its input.
A kernel without netem has no other way to delay packets.
"""

import collections
import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
import time

NEW_NETWORK = 0x40000000
SET_DEVICE = 0x400454CA  # TUNSETIFF
PACKETS, NO_HEADER = 0x0001, 0x1000  # IFF_TUN, IFF_NO_PI
LARGEST = 65000


def device(namespace, address):
    """The descriptor of a device that stays in that namespace."""
    library = ctypes.CDLL(None, use_errno=True)
    own, other = (os.open(path, os.O_RDONLY)
                  for path in ("/proc/self/ns/net", f"/var/run/netns/{namespace}"))
    if library.setns(other, NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), f"no way into the namespace {namespace}")
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, SET_DEVICE, struct.pack("16sH22x", b"cable0", PACKETS | NO_HEADER))
    if library.setns(own, NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "no way back")
    os.close(own)
    os.close(other)
    for words in (("addr", "add", address + "/24", "dev", "cable0"),
                  ("link", "set", "cable0", "mtu", str(LARGEST), "up")):
        subprocess.run(("ip", "-n", namespace, *words), check=True)
    return descriptor


class Way:
    """One direction: packets wait here until they are due."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.packets, self.free = collections.deque(), 0.0

    def take(self, state):
        while True:
            try:
                packet = os.read(self.source, LARGEST)
            except BlockingIOError:
                return
            if state["cut"]:
                continue
            now = time.monotonic()
            self.free = max(now, self.free)
            if state["rate"]:
                self.free += 8 * len(packet) / state["rate"]
            self.packets.append((self.free + state["delay"], packet))

    def give(self):
        """Sends what is due; returns when the next packet is, or None."""
        while self.packets:
            due, packet = self.packets[0]
            if due > time.monotonic():
                return due
            try:
                os.write(self.target, packet)
            except BlockingIOError:
                return due + 0.001
            except OSError:
                pass  # The namespace has gone; so has the packet.
            self.packets.popleft()
        return None


def main():
    first, second = (device(name, f"10.77.0.{k}") for k, name in enumerate(sys.argv[1:3], 1))
    ways = {first: Way(first, second), second: Way(second, first)}
    state = {"delay": 0.0, "rate": 0.0, "cut": False}
    print("ready", flush=True)
    while True:
        dues = [due for due in (way.give() for way in ways.values()) if due is not None]
        patience = max(0.0, min(dues) - time.monotonic()) if dues else None
        for ready in select.select([*ways, sys.stdin], [], [], patience)[0]:
            if ready in ways:
                ways[ready].take(state)
                continue
            words = sys.stdin.readline().split()
            if not words:
                return
            if words[0] in ("cut", "mend"):
                state["cut"] = words[0] == "cut"
                for way in ways.values():
                    way.packets.clear()
            else:
                state[words[0]] = float(words[1])


if __name__ == "__main__":
    main()
