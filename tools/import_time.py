"""Fail when recnn is slow to import, or loads what only some of its parts need.

`import recnn` alone loads neither torch nor pandas. `import recnn.agents.td3` takes at most a tenth longer
than `import torch`, and loads nothing of HEAVY. Both run in fresh processes, in turn; the least CPU seconds
of each are compared: other work on the machine only ever adds time.
"""
import os
import subprocess
import sys

RUNS, LIMIT = 7, 1.1
FRONT = ("torch", "pandas")
HEAVY = ("nbdev", "fastcore", "execnb", "transformers", "sklearn", "scipy", "matplotlib", "h5py", "pandas")


def seconds(module):
    "CPU time of a process that imports one module."
    start = os.times()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    end = os.times()
    return end.children_user - start.children_user + end.children_system - start.children_system


def loaded(module, heavy):
    "The modules among `heavy` that are loaded once `module` is imported."
    code = f"import sys, {module}; print(*[m for m in {heavy} if m in sys.modules])"
    words = [sys.executable, "-c", code]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()


def main():
    faults = []
    for module, heavy in (("recnn", FRONT), ("recnn.agents.td3", HEAVY)):
        found = loaded(module, heavy)
        if found: faults.append(f"import {module} loads {', '.join(found)}; import them where they are used")
    for m in ("torch", "recnn.agents.td3"): seconds(m)  # byte code is compiled and files are cached
    times = [(seconds("torch"), seconds("recnn.agents.td3")) for _ in range(RUNS)]
    torch, ours = (min(t) for t in zip(*times))
    print(f"import recnn {seconds('recnn'):.2f} s, torch {torch:.2f} s, recnn.agents.td3 {ours:.2f} s")
    print(f"recnn.agents.td3 over torch: {ours / torch:.2f} (least CPU time of {RUNS}), at most {LIMIT}")
    if ours > LIMIT * torch: faults.append("import recnn.agents.td3 takes too long; import where it is used")
    if faults: sys.exit("\n".join(faults))


if __name__ == "__main__": main()
