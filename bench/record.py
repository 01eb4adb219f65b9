"""What every benchmark writes: figures with the machine and the commit they come from."""
import json, os, platform, subprocess
from pathlib import Path

import torch

RESULTS = Path(__file__).resolve().parent / "results"


def machine():
    "The machine in words."
    cpu = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor()) \
        if os.path.exists("/proc/cpuinfo") else platform.processor()
    return f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"


def commit():
    "Short hash of the commit, with a plus where the tree differs from it in more than results."
    git = lambda *words: subprocess.run(["git", *words], capture_output=True, text=True, cwd=RESULTS.parent).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)bench/results") else "")


def record(name, figures):
    "Write bench/results/<name>.json and say so."
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(dict(machine=machine(), commit=commit(), figures=figures), indent=1) + "\n")
    print(f"{machine()}\n{path}")
