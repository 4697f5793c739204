"""Two machines on one: network namespaces with separate names, and a cable between them."""

import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Trouble(Exception):
    """The machines could not be set up."""


def call(*words):
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(words)}: {done.stdout.strip()}")


def missing():
    """What this system lacks, as a line, or None."""
    if os.geteuid() != 0:
        return "namespaces need root"
    for program in ("ip", "tc", "unshare", "mpirun.openmpi"):
        if not shutil.which(program):
            return f"there is no {program}"
    return None if os.path.exists("/dev/net/tun") else "there is no /dev/net/tun"


class Machines:
    """With `rate`, in bits per second, a virtual cable of the kernel's (veth, tbf); else the relay,
    whose cable can be slow, delayed or cut."""

    def __init__(self, scratch, rate=None, has_relay=True):
        self.names = [f"lunerv-{os.getpid()}-{k}" for k in (1, 2)]
        self.scratch, self.rate, self.has_relay = scratch, rate, has_relay
        self.relay = None

    def __enter__(self):
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _set_up(self):
        for name in self.names:
            call("ip", "netns", "add", name)
            call("ip", "-n", name, "link", "set", "lo", "up")
            # `ip netns exec` shows these files instead of /etc's.
            os.makedirs(f"/etc/netns/{name}")
            with open(f"/etc/netns/{name}/hosts", "w") as file:
                file.write("127.0.0.1 localhost\n" + "".join(
                    f"10.77.0.{k} {host}\n" for k, host in enumerate(self.names, 1)))
        if self.has_relay:
            self.relay = subprocess.Popen(
                [sys.executable, os.path.join(HERE, "relay.py"), *self.names],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if self.relay.stdout.readline() != "ready\n":
                raise Trouble("the relay did not start")
        else:
            self._lay_cable()
        # MPI starts its helper on the other machine by this instead of ssh.
        self.agent = os.path.join(self.scratch, "agent")
        with open(self.agent, "w") as file:
            file.write('#!/bin/sh\nhost=$1\nshift\n'
                       'exec ip netns exec "$host" unshare --uts sh -c "hostname $host; $*"\n')
        os.chmod(self.agent, 0o755)

    def _lay_cable(self):
        a, b = (f"lv{os.getpid()}{k}" for k in "ab")
        call("ip", "link", "add", a, "netns", self.names[0], "type", "veth", "peer", "name", b,
             "netns", self.names[1])
        for k, (name, device) in enumerate(zip(self.names, (a, b)), 1):
            call("ip", "-n", name, "addr", "add", f"10.77.0.{k}/24", "dev", device)
            call("ip", "-n", name, "link", "set", device, "up")
            if self.rate:
                burst = max(65536, self.rate / 2000)
                call("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", device, "root",
                     "tbf", "rate", f"{self.rate:.0f}bit", "burst", f"{burst:.0f}",
                     "latency", "100ms")

    def __exit__(self, *_):
        if self.relay:
            self.relay.stdin.close()
            self.relay.wait()
        for pid in self.processes():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
            shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)

    def order(self, *words):
        """An order to the relay."""
        self.relay.stdin.write(" ".join(map(str, words)) + "\n")
        self.relay.stdin.flush()

    def processes(self, name=None, which=None):
        """The processes of both machines or of one, whose program's name holds `which`."""
        found = []
        for machine in [name] if name else self.names:
            done = subprocess.run(["ip", "netns", "pids", machine], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            found += map(int, done.stdout.split())
        return [pid for pid in found if which is None or which == name_of(pid)]

    def command(self, count, words):
        """mpirun on the first machine, with `count` ranks on both in turn."""
        slots = [(count + 1) // 2, count // 2]
        hosts = ",".join(f"{host}:{n}" for host, n in zip(self.names, slots))
        network = "10.77.0.0/24"
        line = ["mpirun.openmpi", "--allow-run-as-root", "--host", hosts, "-n", str(count),
                # Both machines have the same cores, and would bind their ranks to the first one.
                "--bind-to", "none",
                "--map-by", "node", "--mca", "plm_rsh_agent", self.agent, "--mca", "pml", "ob1",
                "--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include", network,
                "--mca", "oob_tcp_if_include", network, "--mca", "mpi_yield_when_idle", "1"]
        # How often mpirun checks that the other machine is there. It must notice before the ranks do:
        # their error makes it send orders, and unanswered orders stop these checks for minutes.
        for name, value in (("time", 1), ("intvl", 1), ("probes", 2)):
            line += ["--mca", f"oob_tcp_keepalive_{name}", str(value)]
        line += words
        inside = f"hostname {self.names[0]}; exec \"$@\""
        return ["ip", "netns", "exec", self.names[0], "unshare", "--uts", "sh", "-c", inside, "sh",
                *line]

    def leave(self, patience):
        """Waits until no lunerv is left; returns those that are."""
        end = time.monotonic() + patience
        while (left := self.processes(which="lunerv")) and time.monotonic() < end:
            time.sleep(0.05)
        return left


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return None
