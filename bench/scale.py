"""Shards: building them from a file, and passing over them, against one file for the whole log.

    python bench/scale.py [--ratings 100000000] [--folder FOLDER] [--rounds 3]

Up to 10 million ratings are drawn in ML-20M's shape (`recnn.data.planted.large_ratings`), and expanded
(`recnn.data.expand`) to twice the items and as many ratings as are asked for. Each build runs in a process
of its own, from Parquet, with one worker, and each pass with one thread, shuffled, dimension 128, batches
of 5,000. `build_peak_gb_8_parts` is the largest memory of a process that builds 8 parts, `part_gb_8` the
size of the largest of them on the disk, `build_over_single` the ratings/s of 64 parts over those of one
file, `walk_over_single` the windows/s of 8 parts over those of one file. Both are ratios of the time that
the processor worked, since other processes may share the machine; seconds and `load`, the number of
processes that waited for a core, stand beside them.

`same_ratings` ratings are built by a loop, by two processes and by a dask cluster; all give the same parts,
whose ratings and split are those of the one file, and metrics that differ by `same_metrics_within` at most.

`two_processes_over_one` divides the updates/s of TD3 by two gloo processes with a thread each by those of one
process with two threads, on batches of 1,024 windows; `two_processes_over_one_default` is the same of the
default agent, on batches of 128 pieces. They take turns, and a ratio is the median over rounds of seconds by
the clock, so that it needs two free cores. `two_processes_cpu_over_one` does not: it divides the time that a
processor worked for one process with one thread by that of both processes, 1 where sharing costs nothing.

Writes bench/results/scale.json.
"""
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"

DIM, BATCH, DRAWN = 128, 5000, 10_000_000


def draw(out, ratings, items=26_744):
    "Write a log in ML-20M's shape to Parquet."
    from recnn.data.planted import large_ratings
    users = max(int(ratings) * 138_493 // 20_000_263, 1)
    large_ratings(users, int(items), int(ratings)).to_parquet(out)


def grow(first, out, times):
    "Expand a log to a Parquet file with some times its users and twice its items; ratings/s."
    from recnn.data.expand import expand
    from recnn.data.log import read_log
    log, start = read_log(first), time.process_time()
    n = expand(log, out, log.n_users * int(times), log.n_items * 2)
    return dict(expand_rows_cpu_s=n / (time.process_time() - start))


def build_one(source, out):
    "One file for the whole log."
    from recnn.data import logfile  # noqa: F401 (`Log.write`)
    from recnn.data.log import read_log
    read_log(source).write(out)


def build_parts(source, out, n):
    "A folder of parts."
    from recnn.data.build import build_shards
    shutil.rmtree(out, ignore_errors=True)  # finished parts are not built again
    build_shards(source, out, int(n))


def same(source, folder):
    "Parts by a loop, by processes and by dask against one file: an error where they differ."
    import numpy as np
    from dask.distributed import LocalCluster
    from recnn.app.recommender import evaluate
    from recnn.app.schedulers import _processes
    from recnn.data.build import build_shards
    from recnn.data.log import read_log
    from recnn.data.shards import _split_by_hash
    one, found = read_log(source), []
    one = replace(one, split=_split_by_hash(one.user_ids, .1, .2, 0))
    with LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
        for i, who in enumerate((None, 2, cluster.scheduler_address)):
            with _processes(who) as executor:
                found.append(build_shards(source, f"{folder}/{i}", 8, executor=executor))
    parts = [s.manifest["parts"] for s in found]
    if not parts[0] == parts[1] == parts[2]: raise RuntimeError("other parts")
    for i in np.random.default_rng(0).permutation(8):
        log = found[0].log(i)
        users = np.searchsorted(one.user_ids, log.user_ids)
        mine = np.isin(one.user, users)
        pairs = [(getattr(one, name)[mine], getattr(log, name)) for name in ("item", "reward", "timestamp")]
        pairs += [(one.user_ids[users], log.user_ids), (one.split[users], log.split),
                  (np.diff(one.bounds)[users], np.diff(log.bounds))]
        if not all(np.array_equal(a, b) for a, b in pairs): raise RuntimeError(f"part {i} differs")
    a, b = (evaluate(["popularity", "item_knn"], x).to_numpy(float) for x in (one, found[0]))
    return dict(same_ratings=len(one), same_metrics_within=float(np.abs(a - b).max()))


def make_vectors(out):
    "Random vectors of the items of a file or a folder."
    import torch
    from recnn.data.log import Log
    from recnn.data.shards import Shards
    from recnn.vectors import ItemVectors
    log = Shards(out).log(0) if Path(out).is_dir() else Log.open(out, mapped=True, verify=False)
    matrix = torch.randn(log.n_items, DIM, generator=torch.Generator().manual_seed(0))
    return ItemVectors(log.item_ids, matrix, log.titles)


def walk(out):
    "A shuffled pass over a file or a folder; the number of windows."
    import torch
    from recnn.data.part_windows import Dataset
    torch.set_num_threads(1)
    vectors = make_vectors(out)
    next(Dataset(out, vectors).batches(BATCH))  # compiles
    start, n = time.process_time(), 0
    for b in Dataset(out, vectors).batches(BATCH): n += len(b.done)
    return dict(windows=n, walk_cpu_s=time.process_time() - start)


def train(out, name, batch, updates, threads):
    "Train an agent, with the other process if there is one; rates of updates, and a digest of weights."
    import torch
    from recnn.agents.fit import fit
    from recnn.agents.processes import _digest, _joined
    from recnn.app.models import find_model
    from recnn.data.part_windows import Dataset
    torch.set_num_threads(int(threads))
    cls, n, times = find_model(name), int(updates), []
    dataset = Dataset(out, make_vectors(out), cls.frame_size, cls.whole_histories)
    agent = cls(cls.config_class(embed_dim=DIM, frame_size=dataset.frame_size, batch_size=int(batch)))
    with _joined():
        fit(agent, dataset, 6 * n // 5, log_every=n // 5, callback=lambda row: times.append(
            (time.perf_counter(), time.process_time())))
    rates = [n / (end - start) for start, end in zip(times[0], times[5])] if times else [0., 0.]
    return dict(rate=rates[0], cpu_rate=rates[1], digest=int(_digest(agent)))


STEPS = {f.__name__: f for f in (draw, grow, build_one, build_parts, same, walk, train)}


def run_step(name, *words):
    "Run one step and print its seconds, the time that it worked, and its largest memory in GB."
    start = time.perf_counter()
    found = STEPS[name](*words) or {}
    lines = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss would count the parent's memory
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e6
    print(json.dumps(dict(s=time.perf_counter() - start, cpu_s=time.process_time(), peak_gb=peak) | found))


def in_process(*words):
    "What one step in a fresh process prints."
    command = [sys.executable, __file__, "--step", *map(str, words)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(said.splitlines()[-1])


def in_two(*words):
    "What one step prints in two processes that train together, rank 0 first."
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        group = dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(s.getsockname()[1]))
    command = [sys.executable, __file__, "--step", *map(str, words)]
    rank = [os.environ | group | dict(RANK=r) for r in "01"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=e) for e in rank]
    said = [p.communicate()[0] for p in started]
    if any(p.returncode for p in started): raise RuntimeError("a process has failed")
    return [json.loads(x.splitlines()[-1]) for x in said]


def measure_processes(folder, rounds):
    "Updates/s of two processes and of one."
    path, f = folder / "train.hdf5", {}
    in_process("draw", f"{path}.parquet", 1_000_000)
    in_process("build_one", f"{path}.parquet", path)
    for name, ending, batch, updates in (("td3", "", 1024, 50), ("default", "_default", 128, 25)):
        rows = []
        for _ in range(rounds):
            one, single = (in_process("train", path, name, batch, updates, n) for n in (2, 1))
            a, b = in_two("train", path, name, batch, updates, 1)
            if a["digest"] != b["digest"]: raise RuntimeError(f"{name}: the processes hold other weights")
            rows.append((one["rate"], a["rate"] / one["rate"], a["cpu_rate"] / 2 / single["cpu_rate"]))
        names = "one_process_updates_s", "two_processes_over_one", "two_processes_cpu_over_one"
        f |= {n + ending: statistics.median(x) for n, x in zip(names, zip(*rows))}
    return f


def measure_same(folder):
    "Whether parts equal one file, for 4 million ratings."
    first, source = folder / "few.parquet", folder / "same.parquet"
    in_process("draw", first, 1_000_000, 3000)
    in_process("grow", first, source, 4)
    made = in_process("same", source, folder / "same")
    return {name: made[name] for name in ("same_ratings", "same_metrics_within")}


def size_gb(path): return Path(path).stat().st_size / 1e9


def measure(folder, source):
    "Figures of all builds and passes."
    one = in_process("build_one", source, folder / "one.hdf5")
    f = dict(build_single_s=one["s"], build_single_cpu_s=one["cpu_s"], build_single_peak_gb=one["peak_gb"],
             single_gb=size_gb(folder / "one.hdf5"))
    for n in (8, 64):
        made = in_process("build_parts", source, folder / f"{n}", n)
        parts = (folder / f"{n}").glob("part-*")
        f |= {f"build_{n}_parts_s": made["s"], f"build_{n}_parts_cpu_s": made["cpu_s"],
              f"build_peak_gb_{n}_parts": made["peak_gb"], f"part_gb_{n}": max(map(size_gb, parts))}
    f["build_over_single"] = one["cpu_s"] / f["build_64_parts_cpu_s"]
    single, parts = (in_process("walk", folder / name) for name in ("one.hdf5", "8"))
    if single["windows"] != parts["windows"]: raise RuntimeError(f"{parts['windows']} windows in parts")
    f |= dict(walk_windows=single["windows"], walk_single_cpu_s=single["walk_cpu_s"],
              walk_8_parts_cpu_s=parts["walk_cpu_s"], walk_single_peak_gb=single["peak_gb"],
              walk_peak_gb_8_parts=parts["peak_gb"])
    f["walk_over_single"] = single["walk_cpu_s"] / parts["walk_cpu_s"]
    return f


def main():
    if sys.argv[1:2] == ["--step"]: return run_step(*sys.argv[2:])
    from record import command_line, record  # which imports torch: a step that needs none counts none
    parser = command_line(__doc__)
    parser.add_argument("--ratings", type=int, default=100_000_000,
                        help=f"a multiple of {DRAWN:,}, or less")
    parser.add_argument("--folder", type=Path, help="where files are kept")
    parser.add_argument("--rounds", type=int, default=3, help="trainings by one process and by two")
    args = parser.parse_args()
    if args.ratings > DRAWN and args.ratings % DRAWN: parser.error(f"not a multiple of {DRAWN}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        f, source = {}, folder / f"ratings-{args.ratings}.parquet"
        if not source.exists():
            first, drawn = folder / "drawn.parquet", min(args.ratings, DRAWN)
            in_process("draw", first, drawn)
            made = in_process("grow", first, source, args.ratings // drawn)
            f = dict(expand_rows_cpu_s=made["expand_rows_cpu_s"], expand_peak_gb=made["peak_gb"])
        f |= measure(folder, source) | measure_same(folder) | measure_processes(folder, args.rounds)
    figures = dict(ratings=args.ratings, **f, load=os.getloadavg()[0])
    for key, value in figures.items(): print(f"{key:28}{value:14,.3f}")
    record("scale", {k: round(v, 3) for k, v in figures.items()})


if __name__ == "__main__": main()
