"""Full ranking at ML-20M's size: every metric of every user over all items, seconds and peak memory.

    python bench/evaluation.py [--users 138493] [--items 26744] [--folder FOLDER]

The log is synthetic, with ML-20M's shape (`recnn.data.planted.large_ratings`); with --folder it is kept and
used again. Scores are products of a vector for each user and each item, with popularity in them; the last
rating of each user is the answer, all others are seen. The ranking runs in a process of its own, so that its
peak memory is its own; it includes the histories and Python. The naive way, a loop over users with a sort of
all items, runs over a part of the users and is extrapolated.

Writes bench/results/evaluation.json.
"""
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch

import recnn.evaluation.ranking
from record import command_line, machine, record
from recnn.data.log import make_log
from recnn.data.planted import large_ratings
from recnn.data.tables import check_ratings
from recnn.evaluation.queries import Queries
from recnn.evaluation.ranking import measure

DIM, KS, NAIVE = 128, (5, 10, 20), 200


def write_histories(path, users, items):
    "Write the items of all users one after the other, and where each user begins."
    ratings = large_ratings(users, items, max(users * 20_000_263 // 138_493, 20 * users))
    log = make_log(check_ratings(ratings))
    np.savez(path, item=log.item, bounds=log.bounds)


class Crowd:
    "Number of ratings of each item."
    def __init__(self, item, n_items, n_users):
        self.count, self.n_users = torch.from_numpy(np.bincount(item, minlength=n_items)).float(), n_users


class Factors:
    "Scores by vectors of users and items; it counts its own seconds."
    def __init__(self, popularity, n_users, seed=0):
        g = torch.Generator().manual_seed(seed)
        self.users = torch.randn(n_users, DIM, generator=g)
        self.items = torch.randn(len(popularity.count), DIM, generator=g)
        self.items[:, 0] = 4 * popularity.count.clamp(min=1).log()
        self.users[:, 0], self.seconds = 1., 0.

    def scores(self, queries):
        start = time.perf_counter()
        out = self.users[queries.user_id] @ self.items.T
        self.seconds += time.perf_counter() - start
        return out


def open_queries(path):
    "Questions, popularity and a scorer."
    with np.load(path) as f: item, bounds = f["item"], f["bounds"]
    n_users, n_items = len(bounds) - 1, int(item.max()) + 1
    popularity, last = Crowd(item, n_items, n_users), item[bounds[1:] - 1].astype("int64")
    seen = [item[a:b - 1] for a, b in zip(bounds[:-1], bounds[1:])]
    none = torch.zeros(n_users, 0)
    queries = Queries(none.long(), none, torch.from_numpy(last), seen, np.arange(n_users), n_items=n_items)
    return queries, popularity, Factors(popularity, n_users)


def rank(path, block):
    "Seconds of a whole pass and of its steps, peak memory in GB, and two figures that show what was ranked."
    queries, popularity, scorer = open_queries(path)
    best, spent = recnn.evaluation.ranking.top_k, [0.]

    def timed(*args, **kwargs):
        start = time.perf_counter()
        out = best(*args, **kwargs)
        spent[0] += time.perf_counter() - start
        return out
    start = time.perf_counter()
    with mock.patch.object(recnn.evaluation.ranking, "top_k", timed):
        r = measure(scorer, queries, KS, popularity, scorer.items, block)
    total = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rest = total - scorer.seconds - spent[0]
    return dict(s=total, scores_s=scorer.seconds, best_s=spent[0], metrics_s=rest, peak_gb=peak,
                ndcg=r.values["NDCG@10"].mean(), coverage=r.lists["coverage@10"])


def naive(path, n):
    "Seconds per user of a loop over users, and its NDCG@10."
    queries, _, scorer = open_queries(path)
    users, items, gains = scorer.users.numpy(), scorer.items.numpy(), []
    start = time.perf_counter()
    for u in range(n):
        scores = items @ users[u]
        scores[queries.seen[u]] = -np.inf
        ranked = np.argsort(-scores, kind="stable")[:KS[-1]].tolist()
        target = int(queries.target[u])
        for k in KS:
            hit = [i for i, f in enumerate(ranked[:k]) if f == target]
            gain = 1 / np.log2(hit[0] + 2) if hit else 0.
            if k == 10: gains.append(gain)
    return (time.perf_counter() - start) / n, gains


def in_process(path, block):
    "What `rank` returns in a fresh process."
    words = [sys.executable, __file__, "--step", str(path), "--block", str(block)]
    said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(said.splitlines()[-1])


def measure_all(path, args):
    "Figures of the benchmark, and of the first run."
    runs = [in_process(path, args.block) for _ in range(args.runs)]
    median = lambda key: statistics.median(r[key] for r in runs)
    few = min(NAIVE, args.users)
    seconds, gains = naive(path, few)
    queries, _, scorer = open_queries(path)
    if not np.allclose(measure(scorer, queries[:few], KS).values["NDCG@10"], gains):
        raise ValueError("the naive loop ranks differently")
    f = dict(users=len(queries), items=queries.n_items, block=args.block, threads=torch.get_num_threads(),
             full_ranking_s=median("s"), full_ranking_scores_s=median("scores_s"),
             full_ranking_best_items_s=median("best_s"), full_ranking_metrics_s=median("metrics_s"),
             full_ranking_peak_gb=max(r["peak_gb"] for r in runs),
             naive_extrapolated_s=seconds * len(queries), naive_users=few)
    return f | dict(naive_over_ours=f["naive_extrapolated_s"] / f["full_ranking_s"]), runs[0]


def show(f, run):
    "Print the figures as a table."
    print(f"{f['users']:,} users, {f['items']:,} items, dimension {DIM}, lists of {KS}, blocks of "
          f"{f['block']} users, {f['threads']} threads; {machine()}\n")
    print(f"{'every metric of every user':44}{'seconds':>9}{'ratio':>9}")
    rows = {"recnn.evaluation.ranking.measure": "full_ranking_s", "  scores": "full_ranking_scores_s",
            "  best 20 unseen items": "full_ranking_best_items_s", "  metrics": "full_ranking_metrics_s",
            f"a loop with a sort ({f['naive_users']} users, extrapolated)": "naive_extrapolated_s"}
    for label, key in rows.items(): print(f"{label:44}{f[key]:9.1f}{f[key] / f['full_ranking_s']:9.1f}")
    print(f"peak memory {f['full_ranking_peak_gb']:.2f} GB; all scores at once would take "
          f"{f['users'] * f['items'] * 4 / 1e9:.1f} GB; NDCG@10 {run['ndcg']:.4f}, "
          f"coverage@10 {run['coverage']:.3f}\n")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--users", type=int, default=138_493)
    parser.add_argument("--items", "--films", type=int, default=26_744)
    parser.add_argument("--folder", type=Path, help="where the log is kept")
    parser.add_argument("--block", type=int, default=256, help="users scored at once")
    parser.add_argument("--runs", type=int, default=3, help="whole passes: median times, largest memory")
    parser.add_argument("--step", help="used by the script itself")
    args = parser.parse_args()
    if args.step: return print(json.dumps(rank(args.step, args.block)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"histories-{args.users}-{args.items}.npz"
        if not path.exists(): write_histories(path, args.users, args.items)
        f, run = measure_all(path, args)
    show(f, run)
    record("evaluation", {k: round(v, 3) for k, v in f.items()})


if __name__ == "__main__": main()
