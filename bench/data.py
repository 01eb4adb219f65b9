"""The static data set at ML-20M's size: from ratings.csv to HDF5, and passes over all windows.

    python bench/data.py [--ratings 20000263] [--folder FOLDER]
    python bench/data.py --device cuda      ids and vectors on a GPU; results go to bench/results/data-gpu.json

The log is synthetic, with ML-20M's shape (`recnn.data.log.make_log`); with --folder it is kept and used again. The two
slow ways of reading run over a part of the windows and are extrapolated, which the table says. All ways of reading run in
turn, round by round; a ratio is the median of those within the rounds. Each build runs in a process of its own, so that its
peak memory is its own. The limit that passes are held against is a constant, written as often into buffers of a batch's
size, two in turn as in a pass.
"""
import argparse, json, os, resource, statistics, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import recnn.data.windows
import torch
from record import machine, record
from recnn.data.windows import TransitionDataset, build_dataset, open_arrays
from recnn.items.text import ItemEmbeddings
from recnn.data.log import make_log, write_log

BATCH, DIM, FRAME = 5000, 128, 10


def make_csv(csv, ratings):
    "A log with ML-20M's shape, in a process of its own: a child's peak memory begins with its parent's."
    write_log(make_log(n_users=max(int(ratings) * 138_493 // 20_000_263, 1), n_ratings=int(ratings)), csv)


def build_ours(csv, out):
    "CSV to HDF5 by `build_dataset`."
    Path(out).unlink(missing_ok=True)
    build_dataset(csv, out, FRAME)


def build_groupby(csv, out):
    "CSV to HDF5 by pandas with its defaults: sort, group by user, windows user by user."
    import h5py
    import pandas as pd
    log = pd.read_csv(csv).sort_values(["userId", "timestamp"], kind="stable")
    parts = []
    for _, user in log.groupby("userId"):
        if len(user) <= FRAME: continue
        cut = lambda x: np.lib.stride_tricks.sliding_window_view(x, FRAME + 1)
        done = np.zeros(len(user) - FRAME, bool); done[-1] = True
        parts.append((cut(user.movieId.to_numpy()).astype("int32"), cut(2 * (user.rating.to_numpy() - 2.5)).astype("int8"), done))
    with h5py.File(out, "w") as f:
        for key, x in zip(("movies", "ratings", "done"), map(np.concatenate, zip(*parts))): f[key] = x


def in_process(step, csv, out):
    "Seconds and peak memory in GB of one step in a fresh process."
    words = [sys.executable, __file__, "--step", step, "--csv", str(csv), "--out", str(out)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def walk(batches):
    "Seconds to take all batches, every field of each."
    start = time.perf_counter()
    for b in batches: b.state, b.action, b.reward, b.next_state, b.done
    return time.perf_counter() - start


def opened(out, films):
    "Seconds until a data set is ready for its first batch."
    start = time.perf_counter()
    TransitionDataset(out, films).log
    return time.perf_counter() - start


def index_cat(movies, ratings, done, table, lookup, n):
    "Seconds for n windows by `E[idx]` and `cat`: state and next state are copies."
    start = time.perf_counter()
    for i in range(0, n, BATCH):
        x, r = table[lookup[movies[i:i + BATCH].long()]], ratings[i:i + BATCH].float()
        torch.cat([x[:, :-1].flatten(1), r[:, :-1]], 1), torch.cat([x[:, 1:].flatten(1), r[:, 1:]], 1), x[:, -1], r[:, -1], done[i:i + BATCH]
    return time.perf_counter() - start


def seed_snippet(out, vectors, n):
    "Seconds for n windows from the file by a dictionary of vectors, stacked film by film."
    import h5py
    start = time.perf_counter()
    with h5py.File(out) as f:
        for i in range(0, n, BATCH):
            m, r, d = (torch.tensor(f[key][i:i + BATCH].astype("float32")) for key in ("movies", "ratings", "done"))
            x = torch.stack([torch.stack([vectors[int(j)] for j in row]) for row in m])
            torch.cat([x[:, :-1].flatten(1), r[:, :-1]], 1), torch.cat([x[:, 1:].flatten(1), r[:, 1:]], 1), x[:, -1], r[:, -1], d
    return time.perf_counter() - start


def write_bandwidth(size, count, gb=4, repeats=5):
    "GB/s at which all threads write a constant to `count` arrays of `size` floats in turn; the best of some runs."
    arrays, n = [np.zeros(size, "float32") for _ in range(count)], torch.get_num_threads()
    shares = [[x[a:b] for a, b in zip(np.linspace(0, size, n + 1).astype(int)[:-1], np.linspace(0, size, n + 1).astype(int)[1:])] for x in arrays]
    writes = -(-int(gb * 1e9) // (4 * size))
    with ThreadPoolExecutor(n) as pool:
        def once():
            start = time.perf_counter()
            for i in range(writes): list(pool.map(lambda x: x.fill(i), shares[i % count]))
            return writes * size * 4 / 1e9 / (time.perf_counter() - start)
        return max(once() for _ in range(repeats))


def on_device(out, films, device, runs):
    "Seconds of whole passes on a GPU, ids and vectors there, for two types of numbers."
    f = {}
    for dtype in (torch.float32, torch.bfloat16):
        ds = TransitionDataset(out, films, device, dtype)
        for name, shuffle in (("in_order", False), ("shuffled", True)):
            def timed():
                torch.cuda.synchronize(); seconds = walk(ds.batches(BATCH, shuffle))
                start = time.perf_counter(); torch.cuda.synchronize()
                return seconds + time.perf_counter() - start
            timed(); f[f"pass_{name}_{str(dtype)[6:]}_s"] = statistics.median(timed() for _ in range(runs))
    name = torch.cuda.get_device_name()
    for key, seconds in f.items(): print(f"{key:30}{seconds:9.2f} s {len(ds) / seconds:13,.0f} rows/s  {name}")
    record("data-gpu", dict(gpu=name, **{k: round(v, 3) for k, v in f.items()}))


def random_films(out):
    "Random vectors for the films of a file."
    ids = np.asarray(open_arrays(out)[0]["item_id"]).astype("int64")
    return ItemEmbeddings(ids, torch.randn(len(ids), DIM, generator=torch.Generator().manual_seed(0)), [""] * len(ids))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings", type=int, default=20_000_263)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=int, default=5, help="rounds of all ways; medians, of ratios too, count")
    for name in ("--step", "--csv", "--out"): parser.add_argument(name, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        start = time.perf_counter(); dict(log=make_csv, ours=build_ours, groupby=build_groupby)[args.step](args.csv, args.out)
        return print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary); folder.mkdir(parents=True, exist_ok=True)
        csv, out = folder / f"ratings-{args.ratings}.csv", folder / "data.hdf5"
        if not csv.exists(): in_process("log", csv, args.ratings)
        if args.device != "cpu":
            build_ours(csv, out)
            return on_device(out, random_films(out), args.device, args.runs)
        builds = [in_process("ours", csv, out) for _ in range(args.runs)]
        groupby, _ = in_process("groupby", csv, folder / "groupby.hdf5")
        f = dict(build_s=statistics.median(s for s, _ in builds), build_peak_gb=max(m for _, m in builds), build_pandas_groupby_s=groupby)
        films = random_films(out); ids = films.ids
        os.sync()  # the passes do not share the machine with what the builds left to be written
        f["open_s"] = statistics.median(opened(out, films) for _ in range(args.runs))
        ds = TransitionDataset(out, films); n = len(ds)
        next(ds.batches(BATCH))  # reads the log, compiles
        movies, ratings, done = (ds.arrays[k] for k in ("movies", "ratings", "done"))
        vectors, lookup = dict(zip(ids.tolist(), films.matrix)), ds.lookup.long()
        part, few = min(n, 400 * BATCH), min(n, 20 * BATCH)

        def ours(shuffle, least=recnn.data.windows.LARGE_BATCH):
            with mock.patch.object(recnn.data.windows, "LARGE_BATCH", least): return walk(ds.batches(BATCH, shuffle))
        ways = dict(pass_in_order_s=lambda: ours(False), pass_shuffled_s=lambda: ours(True),
                    pass_in_order_torch_s=lambda: ours(False, n + 1), pass_shuffled_torch_s=lambda: ours(True, n + 1),
                    pass_index_cat_s=lambda: index_cat(movies, ratings, done, films.matrix, lookup, part) * n / part,
                    pass_seed_snippet_s=lambda: seed_snippet(out, vectors, few) * n / few)
        rounds = [{key: way() for key, way in ways.items()} for _ in range(args.runs)]
        f |= {key: statistics.median(r[key] for r in rounds) for key in ways}
        f |= {f"times_{key[5:-2]}": statistics.median(r[key] / r["pass_in_order_s"] for r in rounds) for key in ways if key != "pass_in_order_s"}
        window = (FRAME + 1) * (DIM + 1)  # floats
        f["memory_write_gb_s"] = write_bandwidth(250_000_000, 1)  # far more than the caches hold
        f["write_bandwidth_gb_s"] = write_bandwidth(BATCH * window, 2)  # two batches in turn, as in a pass: the caches hold a part
        f["write_limit_s"] = n * window * 4 / 1e9 / f["write_bandwidth_gb_s"]
        f["write_bandwidth_share"] = f["write_limit_s"] / f["pass_in_order_s"]
    print(f"{n:,} windows, batches of {BATCH:,}, {DIM} numbers a film, {torch.get_num_threads()} threads; {machine()}\n")
    print(f"{'build, csv to hdf5':44}{'seconds':>9}{'ratio':>9}")
    for label, key in (("recnn", "build_s"), ("pandas, group by user", "build_pandas_groupby_s")):
        print(f"{label:44}{f[key]:9.1f}{f[key] / f['build_s']:9.1f}")
    print(f"peak memory of ours {f['build_peak_gb']:.2f} GB\nfile opened and its log read in {f['open_s']:.2f} s, once, before the passes\n\n{'pass over all windows':44}{'seconds':>9}{'ratio':>9}{'rows/s':>13}")
    for label, key in (("in order", "pass_in_order_s"), ("shuffled", "pass_shuffled_s"), ("in order, without numba", "pass_in_order_torch_s"),
                       ("shuffled, without numba", "pass_shuffled_torch_s"), (f"E[idx] and cat ({part:,} windows, extrapolated)", "pass_index_cat_s"),
                       (f"dict of tensors ({few:,} windows, extrapolated)", "pass_seed_snippet_s")):
        print(f"{label:44}{f[key]:9.1f}{f.get(f'times_{key[5:-2]}', 1):9.1f}{n / f[key]:13,.0f}")
    print(f"a constant into the same buffers: {f['write_bandwidth_gb_s']:.1f} GB/s ({f['memory_write_gb_s']:.1f} into memory beyond the caches), "
          f"{f['write_limit_s']:.1f} s for as many bytes; share reached in order {f['write_bandwidth_share']:.0%}\n")
    record("data", {k: round(v, 3) for k, v in f.items()})


if __name__ == "__main__": main()
