"""Runs the Python of stdlib/docs/porting.md, which makes the files that Tests/lua compares with.

    python3 make_porting.py [FOLDER]

FOLDER is Tests/lua/files/porting by default: decoder.pth, its weights as decoder.safetensors
(scripts/pth2safetensors.py) and expected.safetensors. Needs torch and safetensors.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "Tests/lua/files/porting")
    with open(os.path.join(ROOT, "stdlib/docs/porting.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```python\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
    script = os.path.abspath(os.path.join(ROOT, "scripts/pth2safetensors.py"))
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    exec("\n".join(blocks), {"__name__": "decoder"})
    subprocess.run([sys.executable, script, "decoder.pth", "decoder.safetensors",
                    "--strip-prefix", "module."], check=True)


if __name__ == "__main__":
    main()
