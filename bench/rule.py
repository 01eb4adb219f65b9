"""The rule that selects the default agent, on validation ratings.

    python bench/rule.py                                    the bundled sample
    python bench/rule.py --data FOLDER --out rule-NAME

The last ten but ten ratings of everybody are asked about; the last ten are in no part of it. Of all
candidates the rule takes what raises NDCG times reward most over the twin, the same network without rewards,
on average over both logs, as long as plain NDCG@10 is at most 1 % lower on both. Candidates are networks
times weights of item means and taste in the scores, which need no training of their own. A softmax is taken
over all items unless the name says how many are drawn.

With --out, writes bench/results/<out>.json after each network: a row a candidate and seed, and the comparison
of each candidate with the twin.
"""
import os
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import torch

from agents_quality import item_vectors
from logs import open_log
from record import RESULTS, Table, as_json, command_line, commit, machine, rounded, write
from reinforcement import against
from recnn.agents.bc import BehaviourCloning
from recnn.agents.cql import CQL
from recnn.agents.iql import IQL
from recnn.agents.reward_weighted import RewardWeighted
from recnn.agents.td3_items import TD3Items
from recnn.data.windows import Dataset
from recnn.evaluation.queries import leave_last_n
from recnn.evaluation.satisfaction import Satisfaction

ALONE = dict(critic="none", taste=0., means=0.)
NETWORKS = {"twin": (BehaviourCloning, ALONE | dict(n_sampled=0)),
            "twin, 512 drawn": (BehaviourCloning, ALONE | dict(n_sampled=512)),
            "twin, 2048 drawn": (BehaviourCloning, ALONE | dict(n_sampled=2048)),
            "twin, 8 epochs": (BehaviourCloning, ALONE | dict(n_sampled=0, epochs=8)),
            "twin, dropout .3": (BehaviourCloning, ALONE | dict(n_sampled=0, dropout=.3)),
            "weights .15": (RewardWeighted, ALONE | dict(n_sampled=0, beta=.15)),
            "weights .3": (RewardWeighted, ALONE | dict(n_sampled=0, beta=.3)),
            "CQL": (CQL, dict(taste=0., means=0.)),
            "IQL": (IQL, dict(taste=0., means=0.)),
            "TD3 over items": (TD3Items, dict(alpha=1.)),
            "TD3 over items, alpha 3": (TD3Items, dict(alpha=3.))}
SCORES = [dict(means=means, taste=taste) for means, taste in product((0., .25, .5), (0., .5, 1., 1.5, 2.))]
FIGURES = ["NDCG@10", "liked NDCG@10", "reward NDCG@10", "disliked@10"]


def compared(found, twin):
    "Rows of the candidates against the twin, a row a figure, over the seeds that both have."
    for name, judged in found.items():
        seeds = sorted(judged.keys() & twin.keys())
        if not seeds: continue
        head = dict(zip(("network", "means", "taste"), name), seeds=len(seeds))
        rows = against(*([x[s] for s in seeds] for x in (judged, twin)), **head)
        yield from (r for r in rows if r["figure"] in FIGURES)


def main():
    parser = command_line(__doc__)
    parser.add_argument("--data", default="sample", help="'sample' or a folder of MovieLens")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--cache", help="file that keeps the vectors of texts")
    parser.add_argument("--out", help="name below bench/results to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    protocol = leave_last_n(open_log(args.data), 10)
    with tempfile.TemporaryDirectory() as folder:
        vectors = item_vectors(protocol.train, args.cache or Path(folder) / "texts.db")
    learn, judge = Dataset(protocol.train, vectors, 50, pad=True), Satisfaction(protocol, "valid", 50)
    about = dict(data=Path(args.data).name, part="valid", protocol=judge.queries.about)
    found, rows, table = {}, [], Table(None, ("network", "seed"))
    for seed, name in product(args.seeds, args.networks):
        cls, settings = NETWORKS[name]
        start = time.process_time()
        agent = cls.learn(learn, seed=seed, **settings)
        seconds, trained = round(time.process_time() - start, 1), agent.config
        for score in SCORES:
            agent.config = replace(trained, **score)
            judged = judge(agent, sensitive=False)
            found.setdefault((name, *score.values()), {})[seed] = judged
            row = dict(network=name, seed=seed) | score | dict(seconds=seconds, commit=commit())
            rows.append(rounded(row | {k: float(v) for k, v in judged.row().items()}))
            table.add(rows[-1])
        if args.out:
            changes = [*compared(found, found.get(("twin", 0., 0.), {}))]
            write(args.out, as_json(dict(machine=machine()) | about, dict(rows=rows, compared=changes)))
    if args.out: print(RESULTS / f"{args.out}.json")


if __name__ == "__main__": main()
