"""Recommendations for all users of a log, written to Parquet: users per second and peak memory.

    python bench/batch.py [--users 25000 100000] [--seconds 600]

The log has ML-20M's shape: 26,744 items and 144 ratings a user (`recnn.data.planted.large_ratings`). The time
of an answer does not depend on training, so the models learn from 5,000 of its users, and the agent takes a
few updates with random vectors. Each run is a process of its own that does what `recnn recommend --all --k 20
--out recs.parquet` does: it maps and verifies the log, loads the model, and asks; seconds count from there to
the whole file. `peak_gb` is the largest memory of the process, with torch and the model, and `mapped_gb` the
size of the log's file, whose pages count while they are mapped but can be taken back at any time. A run that
takes more than `--seconds` is stopped and has no figures. `load`, the number of processes that waited for a
core in the minute before the end, belongs to the figures.

Writes bench/results/batch.json.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import torch

from recnn.app import batch  # noqa: F401 (`Recommender.recommend_all`)
from recnn.app.recommender import fit, load
from recnn.data.log import Log, make_log
from recnn.data.planted import large_ratings
from recnn.vectors import ItemVectors
from record import command_line, record

MODELS = dict(popularity={}, item_knn={}, reward_weighted=dict(updates=20))
K, PER_USER, LEARN = 20, 144, 5000


def first_users(log, n):
    "A log of the first n users."
    rows = slice(0, int(log.bounds[n]))
    return replace(log, user_ids=log.user_ids[:n], bounds=log.bounds[:n + 1], split=log.split[:n],
                   item=log.item[rows], reward=log.reward[rows], timestamp=log.timestamp[rows])


def make(folder, *sizes):
    "Write a log of each size, and the models."
    folder, sizes = Path(folder), [int(n) for n in sizes]
    most = max(sizes)
    table = large_ratings(most, n_ratings=PER_USER * most)
    table = table.sort_values(["user_id", "timestamp"], kind="stable")
    log = make_log(table, rewards="stars", source="planted log")
    for n in sizes: first_users(log, n).write(folder / f"{n}.hdf5")
    few = first_users(log, min(LEARN, most))
    matrix = torch.randn(log.n_items, 64, generator=torch.Generator().manual_seed(0))
    vectors = ItemVectors(log.item_ids, matrix, log.titles)
    for name, options in MODELS.items():
        fit(name, few, vectors if options else None, users="all", **options).save(folder / name)


def ask(folder, name, n):
    "Ask all users of a log, and print the figures."
    folder, n, cpu = Path(folder), int(n), time.process_time()
    start = time.perf_counter()
    log = Log.open(folder / f"{n}.hdf5", mapped=True)
    rows, users = load(folder / name, log).recommend_all(folder / "recs.parquet", K)
    seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    if (rows, users) != (n * K, n): raise RuntimeError(f"{rows} rows for {users} users")
    print(json.dumps(dict(seconds=round(seconds, 1), users_per_s=round(n / seconds),
                          cpu_s=round(time.process_time() - cpu, 1), peak_gb=round(used.ru_maxrss / 1e6, 2))))


def in_process(*words, seconds=None):
    "What a step prints that runs in a fresh process, whose memory is its own."
    command = [sys.executable, __file__, "--step", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=seconds).stdout


def measure(folder, name, n, seconds):
    "Figures of one run."
    row = dict(model=name, users=n, threads=torch.get_num_threads())
    try: said = in_process("ask", folder, name, n, seconds=seconds)
    except subprocess.TimeoutExpired: said = json.dumps(dict(seconds=None, users_per_s=None))
    size = (Path(folder) / f"{n}.hdf5").stat().st_size
    return row | json.loads(said) | dict(mapped_gb=round(size / 1e9, 2), load=round(os.getloadavg()[0], 1))


def main():
    parser = command_line(__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[25_000, 100_000], help="sizes of the log")
    parser.add_argument("--seconds", type=float, default=600, help="most seconds of a run")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step: return dict(make=make, ask=ask)[args.step[0]](*args.step[1:])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        in_process("make", folder, *args.users)
        os.sync()  # runs do not share the machine with what is left to be written
        for name in MODELS:
            for n in args.users:
                rows.append(measure(folder, name, n, args.seconds))
                print(json.dumps(rows[-1]), flush=True)
    record("batch", rows)


if __name__ == "__main__": main()
