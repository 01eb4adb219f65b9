"""Speed of the data set at ML-20M's size: from ratings.csv to the log's file, and passes over all windows.

    python bench/data.py [--ratings 20000263] [--folder FOLDER]
    python bench/data.py --device cuda

The log is synthetic, with ML-20M's shape (`recnn.data.planted.large_ratings`); with --folder it is kept and
used again. The two slow ways of reading run over a part of the windows and are extrapolated. All ways of
reading take turns, round by round; a ratio is the median of the ratios within the rounds. Each build runs in
a process of its own, so that its peak memory is its own. The limit that passes are compared with is a
constant, written as often into buffers of the size of a batch, two in turn as in a pass.

Writes bench/results/data.json. With --device, log and vectors lie on a GPU: bench/results/data-gpu.json.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import torch

import recnn.data.windows
from record import command_line, machine, record
from recnn.data.log import Log, read_log
from recnn.data.planted import large_ratings, write_ratings
from recnn.data.windows import Dataset
from recnn.vectors import ItemVectors

BATCH, DIM, FRAME, BLOCK = 5000, 128, 10, 4096
WINDOWS = ("movies", "ratings", "done")  # arrays of a static file


def make_csv(csv, ratings):
    "Write a log with ML-20M's shape."
    users = max(int(ratings) * 138_493 // 20_000_263, 1)
    write_ratings(large_ratings(users, n_ratings=int(ratings)), csv)


def build_ours(csv, out):
    "CSV to the log's file by recnn."
    Path(out).unlink(missing_ok=True)
    read_log(csv).write(out)


def user_windows(user):
    "Windows of one user's rows."
    cut = lambda x: np.lib.stride_tricks.sliding_window_view(x, FRAME + 1)
    done = np.zeros(len(user) - FRAME, bool)
    done[-1] = True
    item, reward = user.movieId.to_numpy(), 2 * (user.rating.to_numpy() - 2.5)
    return cut(item).astype("int32"), cut(reward).astype("int8"), done


def build_groupby(csv, out):
    "CSV to a file of windows by pandas with its defaults: sort, group by user, windows user by user."
    import h5py
    import pandas as pd
    log = pd.read_csv(csv).rename(columns=dict(user_id="userId", item_id="movieId"))
    log = log.sort_values(["userId", "timestamp"], kind="stable")
    parts = [user_windows(user) for _, user in log.groupby("userId") if len(user) > FRAME]
    with h5py.File(out, "w") as f:
        for key, x in zip(WINDOWS, map(np.concatenate, zip(*parts))): f[key] = x


STEPS = dict(log=make_csv, ours=build_ours, groupby=build_groupby)


def run_step(name, csv, out):
    "Run one step and print its seconds and its peak memory in GB."
    start = time.perf_counter()
    STEPS[name](csv, out)
    print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]))


def in_process(step, csv, out):
    "Seconds and peak memory in GB of one step in a fresh process."
    words = [sys.executable, __file__, "--step", step, "--csv", str(csv), "--out", str(out)]
    said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(said.splitlines()[-1])


def walk(batches):
    "Seconds to take all batches."
    start = time.perf_counter()
    for b in batches: b.state, b.action, b.reward, b.next_state, b.done
    return time.perf_counter() - start


def opened(out, vectors, in_memory=None):
    "Seconds until a data set can deliver its first batch."
    start = time.perf_counter()
    Dataset(out, vectors, FRAME, in_memory=in_memory).windows(slice(0, 1))
    return time.perf_counter() - start


def dense(x, r, done):
    "State, next state, action, reward and done as copies."
    state, following = (torch.cat([x[:, s].flatten(1), r[:, s]], 1) for s in (slice(-1), slice(1, None)))
    return state, following, x[:, -1], r[:, -1], done


def index_cat(windows, table, lookup):
    "Seconds for windows in memory by `E[idx]` and `cat`: state and next state are copies."
    movies, ratings, done = windows
    start = time.perf_counter()
    for i in range(0, len(done), BATCH):
        s = slice(i, i + BATCH)
        dense(table[lookup[movies[s].long()]], ratings[s].float(), done[s])
    return time.perf_counter() - start


def seed_snippet(path, vectors, n):
    "Seconds for n windows from a file of windows by a dictionary of vectors, stacked item by item."
    import h5py
    start = time.perf_counter()
    with h5py.File(path) as f:
        for i in range(0, n, BATCH):
            m, r, d = (torch.tensor(f[key][i:i + BATCH].astype("float32")) for key in WINDOWS)
            dense(torch.stack([torch.stack([vectors[int(j)] for j in row]) for row in m]), r, d)
    return time.perf_counter() - start


def read_windows(path, n):
    "The first n windows of a file of windows as tensors."
    import h5py
    with h5py.File(path) as f: return [torch.from_numpy(f[key][:n]) for key in WINDOWS]


def write_bandwidth(size, count, gb=4, repeats=5):
    "GB/s at which all threads write a constant to `count` arrays of `size` floats in turn."
    arrays, n = [np.zeros(size, "float32") for _ in range(count)], torch.get_num_threads()
    ends = np.linspace(0, size, n + 1).astype(int)
    parts = [[x[a:b] for a, b in zip(ends[:-1], ends[1:])] for x in arrays]
    writes = -(-int(gb * 1e9) // (4 * size))

    def once(pool):
        start = time.perf_counter()
        for i in range(writes): list(pool.map(lambda x: x.fill(i), parts[i % count]))
        return writes * size * 4 / 1e9 / (time.perf_counter() - start)
    with ThreadPoolExecutor(n) as pool: return max(once(pool) for _ in range(repeats))


def timed_on_gpu(data, shuffle):
    "Seconds of a whole pass on a GPU."
    torch.cuda.synchronize()
    start = time.perf_counter()
    walk(data.batches(BATCH, shuffle))
    torch.cuda.synchronize()
    return time.perf_counter() - start


def on_device(out, vectors, device, runs):
    "Seconds of whole passes on a GPU, log and vectors there, for two types of numbers."
    f = {}
    for dtype in (torch.float32, torch.bfloat16):
        data = Dataset(out, vectors, FRAME, device=device, dtype=dtype)
        for name, shuffle in (("in_order", False), ("shuffled", True)):
            timed_on_gpu(data, shuffle)
            times = [timed_on_gpu(data, shuffle) for _ in range(runs)]
            f[f"pass_{name}_{str(dtype)[6:]}_s"] = statistics.median(times)
    gpu = torch.cuda.get_device_name()
    for key, seconds in f.items():
        print(f"{key:30}{seconds:9.2f} s {len(data) / seconds:13,.0f} rows/s  {gpu}")
    record("data-gpu", dict(gpu=gpu, **{k: round(v, 3) for k, v in f.items()}))


def random_vectors(out):
    "Random vectors for the items of a log's file."
    ids = Log.open(out).item_ids
    matrix = torch.randn(len(ids), DIM, generator=torch.Generator().manual_seed(0))
    return ItemVectors(ids, matrix, [""] * len(ids))


def builds(csv, out, windows, runs):
    "Seconds and memory of the builds, and the size of the file."
    ours = [in_process("ours", csv, out) for _ in range(runs)]
    groupby, _ = in_process("groupby", csv, windows)
    return dict(build_s=statistics.median(s for s, _ in ours), build_peak_gb=max(m for _, m in ours),
                build_pandas_groupby_s=groupby, file_gb=Path(out).stat().st_size / 1e9,
                file_of_windows_gb=Path(windows).stat().st_size / 1e9)


def ways_of_reading(out, windows, vectors, data):
    "Functions that take no argument and return the seconds of a pass over all windows, by name."
    n, ids = len(data), vectors.ids
    part, few = min(n, 400 * BATCH), min(n, 20 * BATCH)
    lookup = torch.zeros(int(ids[-1]) + 1, dtype=torch.long)
    lookup[torch.from_numpy(ids)] = torch.arange(len(ids))
    first, by_id = read_windows(windows, part), dict(zip(ids.tolist(), vectors.matrix))
    mapped = Dataset(out, vectors, FRAME, in_memory=False)

    def ours(shuffle, least=recnn.data.windows._LARGE_BATCH, data=data):
        with mock.patch.object(recnn.data.windows, "_LARGE_BATCH", least):
            return walk(data.batches(BATCH, shuffle))
    return dict(
        pass_in_order_s=lambda: ours(False), pass_shuffled_s=lambda: ours(True),
        pass_in_order_torch_s=lambda: ours(False, n + 1), pass_shuffled_torch_s=lambda: ours(True, n + 1),
        pass_mapped_in_order_s=lambda: ours(False, data=mapped),
        pass_mapped_blocks_s=lambda: ours(BLOCK, data=mapped),
        pass_index_cat_s=lambda: index_cat(first, vectors.matrix, lookup) * n / part,
        pass_seed_snippet_s=lambda: seed_snippet(windows, by_id, few) * n / few)


def passes(out, windows, vectors, runs):
    "Seconds of opening the file and of every way of reading, their ratios, and the limit of the machine."
    f = dict(open_s=statistics.median(opened(out, vectors) for _ in range(runs)))
    data = Dataset(out, vectors, FRAME)
    n = len(data)
    next(data.batches(BATCH))  # compiles
    ways = ways_of_reading(out, windows, vectors, data)
    rounds = [{key: way() for key, way in ways.items()} for _ in range(runs)]
    f |= {key: statistics.median(r[key] for r in rounds) for key in ways}
    f |= {f"times_{key[5:-2]}": statistics.median(r[key] / r["pass_in_order_s"] for r in rounds)
          for key in ways if key != "pass_in_order_s"}
    window = (FRAME + 1) * (DIM + 1)  # floats
    f["memory_write_gb_s"] = write_bandwidth(250_000_000, 1)  # far more than the caches hold
    f["write_bandwidth_gb_s"] = write_bandwidth(BATCH * window, 2)  # as in a pass: the caches hold a part
    f["write_limit_s"] = n * window * 4 / 1e9 / f["write_bandwidth_gb_s"]
    f["write_bandwidth_share"] = f["write_limit_s"] / f["pass_in_order_s"]
    return f, n


LABELS = {
    "in order": "pass_in_order_s", "shuffled": "pass_shuffled_s",
    "in order, without numba": "pass_in_order_torch_s", "shuffled, without numba": "pass_shuffled_torch_s",
    "in order, mapped": "pass_mapped_in_order_s", "by blocks, mapped": "pass_mapped_blocks_s",
    "E[idx] and cat (extrapolated)": "pass_index_cat_s",
    "dict of tensors (extrapolated)": "pass_seed_snippet_s"}


def show(f, n):
    "Print the figures as tables."
    print(f"{n:,} windows, batches of {BATCH:,}, dimension {DIM}, {torch.get_num_threads()} threads")
    print(f"{machine()}\n\n{'build, CSV to HDF5':44}{'seconds':>9}{'ratio':>9}{'GB':>9}")
    pandas = "pandas, group by user, windows", "build_pandas_groupby_s", "file_of_windows_gb"
    for label, key, file in (("recnn, the log", "build_s", "file_gb"), pandas):
        print(f"{label:44}{f[key]:9.1f}{f[key] / f['build_s']:9.1f}{f[file]:9.3f}")
    print(f"peak memory of ours {f['build_peak_gb']:.2f} GB\nfile opened in {f['open_s']:.2f} s\n")
    print(f"{'pass over all windows':44}{'seconds':>9}{'ratio':>9}{'rows/s':>13}")
    for label, key in LABELS.items():
        print(f"{label:44}{f[key]:9.1f}{f.get(f'times_{key[5:-2]}', 1):9.1f}{n / f[key]:13,.0f}")
    print(f"a constant into the same buffers: {f['write_bandwidth_gb_s']:.1f} GB/s "
          f"({f['memory_write_gb_s']:.1f} beyond the caches), {f['write_limit_s']:.1f} s for as many bytes; "
          f"in order reaches {f['write_bandwidth_share']:.0%} of it\n")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--ratings", type=int, default=20_000_263)
    parser.add_argument("--folder", type=Path, help="where the log and the files are kept")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=int, default=5, help="rounds of all ways; medians are reported")
    for name in ("--step", "--csv", "--out"): parser.add_argument(name, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step: return run_step(args.step, args.csv, args.out)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        csv, out, windows = (folder / f for f in (f"ratings-{args.ratings}.csv", "data.hdf5", "groupby.hdf5"))
        if not csv.exists(): in_process("log", csv, args.ratings)
        if args.device != "cpu":
            build_ours(csv, out)
            return on_device(out, random_vectors(out), args.device, args.runs)
        f = builds(csv, out, windows, args.runs)
        os.sync()  # passes do not share the machine with what the builds left to be written
        more, n = passes(out, windows, random_vectors(out), args.runs)
    show(f | more, n)
    record("data", {k: round(v, 3) for k, v in (f | more).items()})


if __name__ == "__main__": main()
