"""Shards: building them from a file, and passing over them, against one file for the whole log.

    python bench/scale.py [--ratings 10000000] [--copies 1] [--folder FOLDER]

The log has ML-20M's shape (`recnn.data.planted.large_ratings`); `--copies` repeats it with other users,
streamed, so that it can be larger than memory. Each build runs in a process of its own, from Parquet, with
one worker, and each pass with one thread, shuffled, dimension 128, batches of 5,000. `build_peak_gb_8_parts`
is the largest memory of a process that builds 8 parts, `part_gb_8` the size of the largest of them on the
disk, `build_over_single` the ratings/s of 64 parts over those of one file, `walk_over_single` the windows/s
of 8 parts over those of one file. Both are ratios of the time that the processor worked, since other
processes may share the machine; seconds and `load`, the number of processes that waited for a core, stand
beside them.

Writes bench/results/scale.json.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"

DIM, BATCH = 128, 5000


def make(out, ratings, copies):
    "Write a log to Parquet, the users of each copy numbered on."
    import polars as pl
    from recnn.data.planted import large_ratings
    users = max(int(ratings) * 138_493 // 20_000_263, 1)
    table = pl.from_pandas(large_ratings(users, n_ratings=int(ratings)))
    table.write_parquet(f"{out}.first")
    first = pl.scan_parquet(f"{out}.first")
    shifted = [first.with_columns(pl.col("user_id") + i * users) for i in range(int(copies))]
    pl.concat(shifted).sink_parquet(out)
    Path(f"{out}.first").unlink()


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


def walk(out):
    "A shuffled pass over a file or a folder; the number of windows."
    import torch
    from recnn.data.log import Log
    from recnn.data.shards import Shards
    from recnn.data.windows import Dataset
    from recnn.vectors import ItemVectors
    torch.set_num_threads(1)
    shards = Shards(out) if Path(out).is_dir() else None
    log = shards.log(0) if shards else Log.open(out, mapped=True, verify=False)
    matrix = torch.randn(log.n_items, DIM, generator=torch.Generator().manual_seed(0))
    vectors = ItemVectors(log.item_ids, matrix, log.titles)
    del log
    def batches():
        if shards: return shards.batches(vectors, BATCH, users=None)
        return Dataset(out, vectors).batches(BATCH)
    next(iter(batches()))  # compiles
    start, n = time.process_time(), 0
    for b in batches(): n += len(b.done)
    return dict(windows=n, walk_cpu_s=time.process_time() - start)


STEPS = dict(make=make, build_one=build_one, build_parts=build_parts, walk=walk)


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
    parser.add_argument("--ratings", type=int, default=10_000_000, help="ratings that are drawn")
    parser.add_argument("--copies", type=int, default=1, help="copies of them, each with users of its own")
    parser.add_argument("--folder", type=Path, help="where files are kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / f"ratings-{args.ratings}-{args.copies}.parquet"
        if not source.exists(): in_process("make", source, args.ratings, args.copies)
        f = measure(folder, source)
    figures = dict(ratings=args.ratings * args.copies, **f, load=os.getloadavg()[0])
    for key, value in figures.items(): print(f"{key:28}{value:14,.3f}")
    record("scale", {k: round(v, 3) for k, v in figures.items()})


if __name__ == "__main__": main()
