"""scripts/bench/figures.json: what was measured, of which version, when and on what machine."""

import json
import os
import re
import subprocess
import time


class Store:
    """`values[section]` is what a section measured, plain data of JSON."""

    def __init__(self, root):
        self.root = root
        self.path = os.path.join(root, "scripts", "bench", "figures.json")
        self.entries = {}
        if os.path.exists(self.path):
            with open(self.path) as file:
                self.entries = json.load(file)
        with open(os.path.join(root, "Sources", "Support", "Version.swift")) as file:
            self.version = re.search(r'text = "([^"]+)"', file.read()).group(1)

    @property
    def values(self):
        return {name: entry["values"] for name, entry in self.entries.items()}

    def origin(self, name):
        entry = self.entries.get(name)
        return f"of {entry['version']}, {entry['date']}" if entry else "never measured"

    def is_current(self, name):
        return name in self.entries and self.entries[name]["version"] == self.version

    def put(self, name, values, machine):
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=self.root, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()
        self.entries[name] = {"version": self.version, "commit": commit,
                              "date": time.strftime("%Y-%m-%d"), "machine": machine,
                              "values": values}
        text = json.dumps(self.entries, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        with open(self.path + ".new", "w") as file:
            file.write(text)
        os.replace(self.path + ".new", self.path)
