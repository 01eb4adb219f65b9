"""Fail when `import recnn.agents.td3` takes more than a tenth longer than `import torch`, or needs what only notebooks need.

Each import is timed in fresh processes, in turn; the medians are compared.
"""
import statistics, subprocess, sys, time

RUNS, LIMIT = 7, 1.1
HEAVY = ("nbdev", "fastcore", "execnb", "transformers", "sklearn", "scipy", "matplotlib", "h5py", "pandas")


def seconds(module):
    "Wall time of a process that imports one module."
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - start


def main():
    found = subprocess.run([sys.executable, "-c", f"import sys, recnn.agents.td3; print(*[m for m in {HEAVY} if m in sys.modules])"],
                           check=True, capture_output=True, text=True).stdout.split()
    for m in ("torch", "recnn.agents.td3"): seconds(m)  # byte code is compiled and files are cached
    times = [(seconds("torch"), seconds("recnn.agents.td3")) for _ in range(RUNS)]
    torch, ours = (statistics.median(t) for t in zip(*times))
    print(f"import torch {torch:.2f} s, import recnn.agents.td3 {ours:.2f} s, ratio {ours / torch:.2f} (median of {RUNS})")
    if found: sys.exit(f"import recnn.agents.td3 loads {', '.join(found)}; import them where they are used")
    if ours > LIMIT * torch: sys.exit(f"import recnn.agents.td3 takes more than {LIMIT} times import torch")


if __name__ == "__main__": main()
