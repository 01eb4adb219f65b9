"""The demo with three seeds: each has its own split of users, first weights and order of batches.

    python bench/demo.py [--seeds 3] [--updates N]

Writes mean and standard deviation over seeds of every column of both tables to bench/results/demo.json, under names
such as `ranking/td3/HR@10/mean`.
"""
import argparse, tempfile, time
from pathlib import Path

import pandas as pd
from record import record
from recnn.cli import DEFAULT, run

AGENTS = ("ddpg", "td3", DEFAULT)


def one_seed(seed, updates, folder):
    "Tables of ranking and values of one seed."
    data, films = folder / f"{seed}.hdf5", folder / f"{seed}.safetensors"
    run(["prepare", "--out", str(data), "--seed", str(seed)])
    run(["embed", "--data", str(data), "--out", str(films)])
    common = ["--data", str(data), "--embeddings", str(films), "--seed", str(seed)]
    paths = [str(folder / str(seed) / f"{a}.safetensors") for a in AGENTS]
    for a, p in zip(AGENTS, paths): run(["train", "--agent", a, *common, "--out", p, *(["--updates", str(updates)] if updates else [])])
    found = run(["evaluate", *common, *paths])
    return found["ranking"], found["values"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--updates", type=int, help="instead of each algorithm's own")
    args = parser.parse_args()
    begin = time.time()
    with tempfile.TemporaryDirectory() as folder: tables = [one_seed(s, args.updates, Path(folder)) for s in range(args.seeds)]
    figures = dict(seeds=args.seeds, updates=args.updates or "each agent's own", seconds=round(time.time() - begin))
    for kind, frames in zip(("ranking", "values"), zip(*tables)):
        stacked = pd.concat(frames)
        for stat, frame in (("mean", stacked.groupby(level=0, sort=False).mean()), ("std", stacked.groupby(level=0, sort=False).std())):
            figures |= {f"{kind}/{row}/{col}/{stat}": round(float(v), 4) for (row, col), v in frame.stack().items() if v == v}
    record("demo", figures)


if __name__ == "__main__": main()
