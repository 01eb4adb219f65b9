"""Do agents over items rank items that nobody rated?

    python bench/unrated.py --data FOLDER --out unrated-NAME

A tenth of the rated items, drawn at random, loses all of its training ratings. Everybody's last ten ratings
are held out, and each answer that is such an item is ranked among all such items that its user has not seen:
0.5 is chance. NDCG@10 is that of all held-out ratings. One network three ways: items without ratings are
left out of the softmax (the agents' way), are alternatives in it like all others, or all vectors are fixed.

With --out, writes bench/results/<out>.json after each row.
"""
import os
import tempfile
import time
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np
import torch

from agents_quality import item_vectors
from logs import open_log
from record import RESULTS, Table, command_line, rounded
from recnn.agents.bc import BehaviourCloning
from recnn.data.windows import Dataset
from recnn.evaluation.queries import leave_last_n
from recnn.evaluation.ranking import measure


class Alternatives(BehaviourCloning, abstract=True):
    "Behaviour cloning in which an item without ratings is an alternative to what was chosen."
    def _rated(self, item, actor=None): return self.actor.bias


ARMS = {"left out": (BehaviourCloning, {}), "alternatives": (Alternatives, {}),
        "fixed vectors": (BehaviourCloning, dict(vectors="given"))}


def right_among(scores, queries, unrated):
    "User and fraction of unrated items below the answer, of all answers that are unrated."
    for u, (z, seen, relevant) in enumerate(zip(scores, queries.seen, queries.relevant)):
        others = np.setdiff1d(unrated, np.r_[seen, relevant])
        for i in np.intersect1d(relevant, unrated):
            yield queries.user_id[u], np.mean((z[others] < z[i]) + .5 * (z[others] == z[i]))


def row(agent, queries, unrated):
    "Means over answers, with the standard error over users."
    found = [pair for q in queries.blocks(256) for pair in right_among(agent.scores(q).numpy(), q, unrated)]
    user, right = (np.array(x) for x in zip(*found))
    by_user = [right[user == u].mean() for u in np.unique(user)]
    lists = measure(agent, queries)
    shown = np.isin(lists.ranked.numpy(), unrated).mean()
    return {"right": right.mean(), "s.e.": np.std(by_user) / len(by_user)**.5, "answers": len(right),
            "users": len(by_user), "NDCG@10": lists.values["NDCG@10"].mean(), "unrated among shown": shown}


def main():
    parser = command_line(__doc__)
    parser.add_argument("--data", default="sample", help="'sample' or a folder of MovieLens")
    parser.add_argument("--part", choices=["valid", "test"], default="test")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cache", help="file that keeps the vectors of texts")
    parser.add_argument("--out", help="name below bench/results to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    protocol = leave_last_n(open_log(args.data), 10)
    protocol = protocol.with_valid() if args.part == "test" else protocol
    train, queries = protocol.train, protocol.queries(args.part, 50, True)
    rated = np.unique(train.item)
    table = Table(args.out, ("arm", "seed"), data=Path(args.data).name, part=args.part,
                  protocol=queries.about, items=len(rated) // 10)
    for seed in args.seeds:
        unrated = np.sort(np.random.default_rng(seed).choice(rated, len(rated) // 10, replace=False))
        some = train.select(~np.isin(train.item, unrated))
        with tempfile.TemporaryDirectory() as folder:
            learn = Dataset(some, item_vectors(some, args.cache or Path(folder) / "texts.db"), 50, pad=True)
        for arm, (cls, settings) in ARMS.items():
            start = time.process_time()
            agent = cls.learn(learn, seed=seed, critic="none", **settings)
            about = dict(arm=arm, seed=seed, seconds=round(time.process_time() - start, 1))
            table.add(rounded(about | {k: float(v) for k, v in row(agent, queries, unrated).items()}))
    if args.out: print(RESULTS / f"{args.out}.json")


if __name__ == "__main__": main()
