"""How well every agent ranks, how varied its recommendations are, and whether its critic is right.

    python bench/agents_quality.py --parts valid --seeds 0 --agents IQL --settings '{"beta": 1}'   to choose
    python bench/agents_quality.py --data sample --out agents-sample                               a table

With --out, writes bench/results/<out>.json after each row, so that a run that is stopped leaves what it has;
rows of agents that are not named stay in the file, and with --keep those of other seeds as well. Each row
names the commit that it comes from.

There are two protocols. *Everyone*: all users learn from all their ratings but the last, which is the item to
find (part valid: the last but one, learned from the ratings before it). *Held out*: the agent learns from
the training users alone, and Q is compared with the discounted return of users that it has never seen. Item
vectors come from the same ratings as the agent's windows. All items are ranked, and seen items are left out.
"""
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np
import torch

from logs import PROTOCOLS, alone, open_log, open_sets
from ranked import places
from record import Table, command_line, rounded
from recnn.evaluation.baselines import ItemKNN, Popularity, Random, SequentialKNN
from recnn.evaluation.metrics import diversity
from recnn.evaluation.queries import last_out
from recnn.evaluation.ranking import measure as measure_lists
from recnn.evaluation.values import q_and_return
from recnn.items.merge import embed_items
from recnn.vectors import similarity
from recnn.evaluation.sequence_baselines import SequenceModel
import recnn

BASELINES = {"random": lambda learn: Random(learn.n_items), "popularity": Popularity, "item-kNN": ItemKNN,
             "sequential kNN": SequentialKNN}
AGENTS = {  # label in tables: class, fixed settings, updates; None: the agent's own number
    "DDPG": (recnn.DDPG, dict(bound="tanh"), 1000),
    "TD3": (recnn.TD3, dict(bound="tanh"), 1000),
    "TD3+BC": (recnn.TD3BC, dict(), 1000),
    "behaviour cloning": (recnn.BehaviourCloning, dict(), None),
    "reward-weighted cloning": (recnn.RewardWeighted, dict(), None),
    "IQL": (recnn.IQL, dict(), None),
    "TD3 over items": (recnn.TD3Items, dict(), None),
    "top-K REINFORCE": (recnn.TopKReinforce, dict(), None),
    "CQL": (recnn.CQL, dict(), None),
    "BCQ": (recnn.BCQ, dict(), None),
    "CRR": (recnn.CRR, dict(), None),
    "SA2C": (recnn.SA2C, dict(), None),
    "Decision Transformer": (recnn.DecisionTransformer, dict(), None),
    "older transformer": (SequenceModel, dict(vectors="tuned"), None),
}


def item_vectors(log, cache=None, dim=64, **options):
    "Vectors as from `recnn embed`: texts, histories and categories, with a column of popularity."
    return embed_items(log, **dict(dim=dim, popularity=1 / dim, cache=cache) | options)


def values(agent, asked):
    "Q and the return of held-out users, as fractions of the mean return."
    v = q_and_return(agent, asked)
    logged, own, mean = (v[k].mean() for k in ("q_logged", "q_policy", "returns"))
    correlation = np.corrcoef(v["q_logged"], v["returns"])[0, 1]
    return dict(q_logged=logged / mean, q_own=own / mean, correlation=correlation,
                above_logged=(own - logged) / mean, returns=mean)


def shape(agent, queries, matrix):
    "Length of the actions and distance to the nearest item, and the same of the items that came next."
    actions, real = agent.act(agent.state(queries.items, queries.rewards)), matrix[queries.target]
    others = similarity(real, matrix, "euclidean").scatter(1, queries.target[:, None], -torch.inf)
    nearest = -similarity(actions, matrix, "euclidean").amax(1).mean()
    row = dict(length=actions.norm(dim=1).mean(), nearest=nearest, real_length=real.norm(dim=1).mean(),
               real_nearest=-others.amax(1).mean())
    return {k: v.item() for k, v in row.items()}


def train(name, learn, seed, updates, settings):
    "A trained agent and the seconds of one core that it took."
    cls, fixed, default = AGENTS[name]
    start, options = time.process_time(), fixed | settings
    if updates or default: options["updates"] = updates or default
    return cls.learn(learn, seed=seed, **options), time.process_time() - start


def ranking_row(model, queries, own):
    """Ranking over all users, NDCG over the users of the mask `own`, and the variety of the lists.

    `NDCG@10 s.e.` is the standard error over people, and `places` has the place of each person's item, so
    that two rows can be compared person by person (bench/ranked.py).
    """
    r = measure_lists(model, queries)
    d = diversity(r.ranked)
    row = {m: r.values[m].mean() for m in ("HR@10", "NDCG@10")}
    row |= {"distinct @1": d["distinct_1"], "distinct @10": d["distinct_k"],
            "share of top item": d["top_share"], "entropy (bits)": d["entropy"],
            "NDCG@10 alone": r.values["NDCG@10"][own.numpy()].mean(),
            "NDCG@10 s.e.": r.values["NDCG@10"].sem()}
    return {k: float(v) for k, v in row.items()} | dict(places=places(r.values["NDCG@10"]))


def measure(args, log, part, protocol, cache, add):
    "Rows of all baselines and agents on one part under one protocol."
    logs = PROTOCOLS[protocol](log, part)
    vectors = item_vectors(logs[0], cache, **args.items)
    learn, ask = open_sets(logs, vectors)
    queries = last_out(ask)
    own, about = alone(logs[1], queries), dict(part=part, protocol=protocol, users=len(queries))
    for name, make in BASELINES.items() if args.baselines else ():
        add(rounded(dict(agent=name, seed=0, **about, **ranking_row(make(learn), queries, own))))
    seeds = args.seeds[:1] if part == "valid" else args.seeds
    if protocol == "held out": seeds = seeds[:args.held_seeds]
    for name in args.agents:
        whole = AGENTS[name][0].whole_histories
        learn, ask = open_sets(logs, vectors, whole)
        queries = last_out(ask)
        for seed in seeds:
            agent, seconds = train(name, learn, seed, args.updates, args.settings)
            truth = {}
            if protocol == "held out" and agent.critic is not None:
                truth = values(agent, ask)
                if agent.points(queries[:1]) is not None: truth |= shape(agent, queries, learn.matrix)
            row = dict(agent=name, seed=seed) | about | dict(seconds=round(seconds, 1))
            add(rounded(row | ranking_row(agent, queries, own) | truth))


def is_stale(args):
    "A function that is true of rows of the file that this run makes again."
    def stale(row):
        again = row["part"] in args.parts and row["protocol"] in args.protocols
        if row["agent"] in BASELINES: return again and bool(args.baselines)
        return again and row["agent"] in args.agents and not args.keep
    return stale


def main():
    parser = command_line(__doc__)
    parser.add_argument("--data", default="sample", help="'sample' or a folder of MovieLens")
    parser.add_argument("--parts", nargs="+", choices=["valid", "test"], default=["valid", "test"],
                        help="valid runs with the first seed alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--agents", nargs="*", choices=list(AGENTS), default=list(AGENTS))
    parser.add_argument("--updates", type=int, help="instead of each agent's own")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON of fields of the configuration")
    parser.add_argument("--items", "--films", type=json.loads, default={},
                        help="JSON of options of `embed_items`")
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--cache", help="file that keeps the vectors of texts")
    parser.add_argument("--held-seeds", type=int, default=3, help="seeds for held-out users, at most")
    parser.add_argument("--baselines", type=int, default=1, help="0: agents alone")
    parser.add_argument("--keep", action="store_true", help="keep rows of seeds that are not asked for")
    parser.add_argument("--out", help="name below bench/results to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(args.out, ("agent", "seed", "part", "protocol"), is_stale(args), data=Path(args.data).name)
    add = partial(table.add, hidden=("places",))
    log = open_log(args.data)
    with tempfile.TemporaryDirectory() as folder:
        cache = args.cache or Path(folder) / "texts.db"
        for part in args.parts:
            for protocol in args.protocols: measure(args, log, part, protocol, cache, add)


if __name__ == "__main__": main()
