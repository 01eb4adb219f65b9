"""Full ranking at ML-20M's size: every metric of every user over all films, seconds and peak memory.

    python bench/evaluation.py [--users 138493] [--films 26744] [--folder FOLDER]

The log is synthetic, with ML-20M's shape (`recnn.data.log.make_log`); with --folder it is kept and used again. Scores are
products of a vector for each user and each film, with popularity in them; the last rating of each user is the answer, all
others are seen. The ranking runs in a process of its own, so that its peak memory is its own; it counts what the process holds
in all, histories and Python included. The naive way, a loop over users with a sort of all films, runs over a part of the users
and is extrapolated, which the table says.
"""
import argparse, json, resource, statistics, subprocess, sys, tempfile, time
from pathlib import Path
from unittest import mock

import numpy as np
import recnn.evaluation.ranking
import torch
from record import machine, record
from recnn.evaluation.ranking import Queries, measure
from recnn.data.log import make_log, time_order

DIM, KS, NAIVE = 128, (5, 10, 20), 200


def write_histories(path, users, films):
    "Films of all users one after the other, and where each user begins."
    log = make_log(users, films, max(users * 20_000_263 // 138_493, 20 * users))
    user, item = log.user_id.to_numpy(), log.item_id.to_numpy()
    order = time_order(user, log.timestamp.to_numpy())
    np.savez(path, film=np.unique(item, return_inverse=True)[1][order].astype("int32"), bounds=np.flatnonzero(np.r_[True, user[1:] != user[:-1], True]))


class Crowd:
    "How many users rated each film."
    def __init__(self, film, n_items, n_users): self.count, self.n_users = torch.from_numpy(np.bincount(film, minlength=n_items)).float(), n_users


class Factors:
    "Scores by vectors of users and films; it counts its own seconds."
    def __init__(self, popularity, n_users, seed=0):
        g = torch.Generator().manual_seed(seed)
        self.users, self.films = torch.randn(n_users, DIM, generator=g), torch.randn(len(popularity.count), DIM, generator=g)
        self.films[:, 0], self.users[:, 0], self.seconds = 4 * popularity.count.clamp(min=1).log(), 1., 0.
    def __call__(self, queries):
        start = time.perf_counter()
        out = self.users[queries.user_id] @ self.films.T
        self.seconds += time.perf_counter() - start
        return out


def open_queries(path):
    "Questions, popularity and scorer."
    with np.load(path) as f: film, bounds = f["film"], f["bounds"]
    n_users, n_items = len(bounds) - 1, int(film.max()) + 1
    popularity, last = Crowd(film, n_items, n_users), film[bounds[1:] - 1].astype("int64")
    seen = [film[a:b - 1] for a, b in zip(bounds[:-1], bounds[1:])]
    queries = Queries(torch.zeros(n_users, 0, 1), torch.from_numpy(last), seen, np.arange(n_users), n_items=n_items)
    return queries, popularity, Factors(popularity, n_users)


def rank(path, block):
    "Seconds of a whole pass and of its steps, peak memory in GB, and two figures that show what was ranked."
    queries, popularity, scorer = open_queries(path)
    best, spent = recnn.evaluation.ranking.best_films, [0.]
    def timed(*args, **kwargs):
        start = time.perf_counter(); out = best(*args, **kwargs); spent[0] += time.perf_counter() - start
        return out
    start = time.perf_counter()
    with mock.patch.object(recnn.evaluation.ranking, "best_films", timed):
        r = measure(scorer, queries, KS, popularity, scorer.films, block)
    total = time.perf_counter() - start
    return dict(s=total, scores_s=scorer.seconds, best_s=spent[0], metrics_s=total - scorer.seconds - spent[0],
                peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, ndcg=r.values["NDCG@10"].mean(), coverage=r.lists["coverage@10"])


def naive(path, n):
    "Seconds a user of the loop that many scripts have, and its NDCG@10."
    queries, _, scorer = open_queries(path)
    users, films, gains = scorer.users.numpy(), scorer.films.numpy(), []
    start = time.perf_counter()
    for u in range(n):
        scores = films @ users[u]
        scores[queries.seen[u]] = -np.inf
        ranked = np.argsort(-scores, kind="stable")[:KS[-1]].tolist()
        target = int(queries.target[u])
        for k in KS:
            hit = [i for i, f in enumerate(ranked[:k]) if f == target]
            gain = 1 / np.log2(hit[0] + 2) if hit else 0.
            if k == 10: gains.append(gain)
    return (time.perf_counter() - start) / n, gains


def in_process(path, block):
    words = [sys.executable, __file__, "--step", str(path), "--block", str(block)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=138_493)
    parser.add_argument("--films", type=int, default=26_744)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--block", type=int, default=256, help="users at once")
    parser.add_argument("--runs", type=int, default=3, help="whole passes; the median counts, and the largest memory")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step: return print(json.dumps(rank(args.step, args.block)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary); folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"histories-{args.users}-{args.films}.npz"
        if not path.exists(): write_histories(path, args.users, args.films)
        runs = [in_process(path, args.block) for _ in range(args.runs)]
        median = lambda key: statistics.median(r[key] for r in runs)
        few = min(NAIVE, args.users)
        seconds, gains = naive(path, few)
        queries, popularity, scorer = open_queries(path)
        assert np.allclose(measure(scorer, queries[:few], KS).values["NDCG@10"], gains), "the naive loop ranks differently"
    f = dict(users=len(queries), films=queries.n_items, block=args.block, threads=torch.get_num_threads(), full_ranking_s=median("s"), full_ranking_scores_s=median("scores_s"),
             full_ranking_best_films_s=median("best_s"), full_ranking_metrics_s=median("metrics_s"), full_ranking_peak_gb=max(r["peak_gb"] for r in runs),
             naive_extrapolated_s=seconds * len(queries), naive_users=few)
    f["naive_over_ours"] = f["naive_extrapolated_s"] / f["full_ranking_s"]
    print(f"{f['users']:,} users, {f['films']:,} films, {DIM} numbers a film, lists of {KS}, blocks of {args.block} users, {f['threads']} threads; {machine()}\n")
    print(f"{'every metric of every user':44}{'seconds':>9}{'ratio':>9}")
    for label, key in (("recnn.evaluation.ranking.measure", "full_ranking_s"), ("  scores", "full_ranking_scores_s"), ("  seen films out, best 20", "full_ranking_best_films_s"),
                       ("  metrics", "full_ranking_metrics_s"), (f"a loop with a sort ({few} users, extrapolated)", "naive_extrapolated_s")):
        print(f"{label:44}{f[key]:9.1f}{f[key] / f['full_ranking_s']:9.1f}")
    print(f"peak memory {f['full_ranking_peak_gb']:.2f} GB; all scores at once would take {f['users'] * f['films'] * 4 / 1e9:.1f} GB; NDCG@10 {runs[0]['ndcg']:.4f}, coverage@10 {runs[0]['coverage']:.3f}\n")
    record("evaluation", {k: round(v, 3) for k, v in f.items()})


if __name__ == "__main__": main()
