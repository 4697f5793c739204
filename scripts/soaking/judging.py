"""What a soak has measured, and whether that is flat."""

import os
import sys
import threading

# The growth that a quantity may have after the warm-up, by the least-squares line: the larger of an
# amount and a share of its mean. A leak of a few bytes per round shows over thousands of rounds.
TOLERANCES = {
    # Resident, MB: the arena caches blocks of interrupted loops, and allocators fluctuate.
    "memory": (48.0, 0.08),
    "files": (1.0, 0.0),
    "threads": (1.0, 0.0),
    "processes": (1.0, 0.0),
    "tensors": (8.0, 0.02),
    "tape": (8.0, 0.02),
    "Lua": (1.5, 0.10),  # MB: a run's record keeps 4096 epochs
    "temporary": (2.0, 0.0),
}
UNITS = {"memory": "MB", "Lua": "MB"}
WARM_UP = 0.2  # of the time
LEAST = 8  # points that the fit of a line needs


class Series:
    """Numbers over time of one quantity of one process."""

    def __init__(self, owner, quantity):
        self.owner, self.quantity, self.points = owner, quantity, []

    def add(self, seconds, value):
        self.points.append((seconds, value))

    def judged(self, begin, end):
        """The fitted line between the times `begin` and `end`: the total growth, the allowed
        growth, and whether it is flat. Too few numbers prove nothing: not flat."""
        points = [p for p in self.points if p[0] >= begin + WARM_UP * (end - begin)]
        amount, share = TOLERANCES[self.quantity]
        values = [value for _, value in points]
        result = {
            "of": self.owner, "what": self.quantity, "unit": UNITS.get(self.quantity, ""),
            "samples": len(points), "most": max((v for _, v in self.points), default=None),
        }
        if len(points) < LEAST:
            return {**result, "growth": None, "allowed": None, "flat": False}
        allowed = max(amount, share * sum(values) / len(values))
        growth = slope(points) * (points[-1][0] - points[0][0])
        return {**result, "growth": growth, "allowed": allowed, "flat": growth <= allowed}


def slope(points):
    """The slope of the least-squares line through (x, y)."""
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread == 0:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


class Ledger:
    """All series, counts and failures; threads share it."""

    def __init__(self):
        self.series, self.counts, self.failures = {}, {}, []
        self.lock = threading.Lock()

    def note(self, owner, quantity, seconds, value):
        with self.lock:
            key = (owner, quantity)
            if key not in self.series:
                self.series[key] = Series(owner, quantity)
            self.series[key].add(seconds, value)

    def count(self, table, name, by=1):
        with self.lock:
            rows = self.counts.setdefault(table, {})
            rows[name] = rows.get(name, 0) + by

    def total(self, table):
        return sum(self.counts.get(table, {}).values())

    def fail(self, where, what):
        self.failures.append(f"{where}: {what}")
        print(f"FAILED {where}: {what}", file=sys.stderr, flush=True)


def of_process(pid):
    """The figures of a process in /proc: MB resident, open files, threads. None if it is gone."""
    try:
        facts = {}
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                name, _, value = line.partition(":")
                facts[name] = value.split()
        files = len(os.listdir(f"/proc/{pid}/fd"))
        return {
            "memory": int(facts["VmRSS"][0]) / 1024, "files": files,
            "threads": int(facts["Threads"][0]),
        }
    except (OSError, KeyError, IndexError, ValueError):
        return None


def catches(pid, number):
    """Whether a process has a handler for a signal."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            masks = [line.split()[1] for line in status if line.startswith("SigCgt:")]
    except OSError:
        return False
    return bool(masks) and int(masks[0], 16) >> (number - 1) & 1 == 1


def session_of(pid):
    """The session that a process belongs to, or None; a zombie belongs to none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            state, _, _, session = stat.read().rpartition(b") ")[2].split()[:4]
    except (OSError, ValueError):
        return None
    return None if state == b"Z" else int(session)


def computed(session):
    """The CPU seconds that the live processes of a session have used."""
    ticks = 0
    for pid in members(session):
        try:
            with open(f"/proc/{pid}/stat", "rb") as stat:
                ticks += sum(int(n) for n in stat.read().rpartition(b") ")[2].split()[11:13])
        except (OSError, ValueError):
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def members(session):
    """The living processes of a session."""
    return [int(name) for name in os.listdir("/proc")
            if name.isdigit() and session_of(name) == session]


# The report ---------------------------------------------------------------------------------------


def number(value):
    if value is None:
        return "-"
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def table(rows):
    """Rows of texts as lines; the first column is to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0])]
                      + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]).rstrip()
            for row in rows]


def report(facts):
    """The lines of a report for people."""
    lines = [f"soak of {facts['seconds']:.0f} s, seed {facts['seed']}: {facts['program']}", ""]
    rows = [["rounds", "done", "interruptions", "resumes", "comparisons"]]
    names = ("rounds", "interruptions", "resumes", "comparisons")
    kinds = sorted(set().union(*(facts[name] for name in names)))
    for kind in kinds:
        rows.append([kind] + [str(facts[name].get(kind, 0)) for name in names])
    rows.append(["all"] + [str(sum(facts[name].values())) for name in names])
    lines += table(rows) + [""]
    signals = sorted(facts["signals"].items(), key=lambda item: (-item[1], item[0]))
    lines.append("signals: " + ", ".join(f"{name} {count}" for name, count in signals))
    lines.append("prompt: " + ", ".join(
        f"{name} {count}" for name, count in sorted(facts["prompt"].items())))
    lines += ["", f"after a warm-up of {100 * WARM_UP:.0f} % of the time:"]
    rows = [["process, quantity", "samples", "most", "growth", "allowed", ""]]
    for s in facts["resources"]:
        rows.append([f"{s['of']}, {s['what']}" + (f" ({s['unit']})" if s["unit"] else ""),
                     str(s["samples"]), number(s["most"]), number(s["growth"]),
                     number(s["allowed"]), "flat" if s["flat"] else "NOT FLAT"])
    lines += table(rows) + [""]
    for failure in facts["failures"]:
        lines.append(f"FAILED {failure}")
    count = len(facts["failures"])
    lines.append("passed" if count == 0 else f"failed: {count}")
    return lines
