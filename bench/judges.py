"""Does reinforcement learning help on this log, by which judge, and does gamma matter?

    python bench/judges.py                       baselines and agents, gamma from 0, several seeds
    python bench/judges.py --agents IQL --gammas 0 0.9 --seeds 0

Agents and item vectors learn from training users alone, and nothing is chosen here: updates and settings are
the agents' defaults. All are asked by the same test users and judged as in `recnn.evaluation.judges`. The
NDCG of each user and the return of each session are kept for paired comparisons.

Writes bench/results/judges.json after each row, so that a run that is stopped leaves what it has; rows that
are asked for again replace the old ones.
"""
import math
import os
import time
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np
import torch

import recnn
from logs import restrict
from record import Table, command_line, read
from recnn.data.log import load_sample
from recnn.data.movielens import read_movielens
from recnn.data.windows import Dataset
from recnn.evaluation.baselines import EASE, ItemKNN, Popularity, Random, RecentPopularity, SequentialKNN
from recnn.evaluation.judges import Judges
from recnn.evaluation.queries import last_out
from recnn.evaluation.sequence_baselines import fit_sequence
from recnn.items.histories import collaborative_vectors
from recnn.vectors import ItemVectors

AGENTS = {  # label: class, settings, updates, gammas
    "behaviour cloning": (recnn.BehaviourCloning, dict(), None, (0.9,)),
    "IQL": (recnn.IQL, dict(), None, (0., 0.5, 0.9)),
    "TD3 over items": (recnn.TD3Items, dict(), None, (0., 0.5, 0.9)),
    "reward-weighted cloning": (recnn.RewardWeighted, dict(), None, (0.9,)),
    "TD3+BC": (recnn.TD3BC, dict(), 1000, (0., 0.5, 0.9)),
    "TD3": (recnn.TD3, dict(bound="tanh"), 1000, (0.9,)),
}


def transformer(train, valid):
    "A sequence model that stops by the validation users."
    return fit_sequence(train, seed=0, epochs=10, valid=last_out(valid))[0]


BASELINES = {  # label: function of the windows of training and of validation users
    "random": lambda train, valid: Random(train),
    "popularity": lambda train, valid: Popularity(train),
    "recent popularity": lambda train, valid: RecentPopularity(train, 365.),
    "item-kNN": lambda train, valid: ItemKNN(train),
    "sequential kNN": lambda train, valid: SequentialKNN(train),
    "EASE": lambda train, valid: EASE(train),
    "transformer": transformer,
}


def open_data(name, dim):
    "Windows of all users, with vectors that are learned from the training users alone."
    log = load_sample() if name == "sample" else read_movielens(name)
    index, vectors = collaborative_vectors(log.part("train"), dim - 1, popularity=1 / dim)
    log = restrict(log, np.isin(np.arange(log.n_items), index))
    matrix = torch.tensor(vectors)
    matrix = matrix / matrix.square().mean().sqrt()
    return Dataset(log, ItemVectors(log.item_ids, matrix, log.titles))


def flat(row):
    "Columns of two words as one, and figures rounded; None where there is none."
    def figure(x):
        if isinstance(x, str): return x
        return None if isinstance(x, float) and math.isnan(x) else round(float(x), 5)
    return {f"{judge}: {column}": figure(x) for (judge, column), x in row.items()}


def train(name, learn, gamma, seed, updates):
    "A trained agent."
    cls, settings, default, _ = AGENTS[name]
    if cls.whole_histories: learn = Dataset(learn.log, learn.vectors, 50, pad=True).part("train")
    options = dict(updates=updates or default) if updates or default else {}
    return cls.learn(learn, seed=seed, gamma=gamma, **settings, **options)


def models(args, data):
    "Yield name, kind, gamma, seed and a function that makes the model."
    learn, valid = data.part("train"), data.part("valid")
    for name in args.baselines: yield name, "baseline", None, 0, lambda: BASELINES[name](learn, valid)
    for seed in args.seeds:  # a run that is stopped has whole seeds
        for name in args.agents:
            for gamma in args.gammas or AGENTS[name][3]:
                yield name, "agent", gamma, seed, lambda: train(name, learn, gamma, seed, args.updates)


def judged_row(judges, make):
    "Figures of all judges for one model, and its NDCG by user and returns by session."
    start = time.process_time()
    model = make()
    made = time.process_time()
    judged = judges(model)
    row = flat(judges.row(judged))
    seconds = dict(fit_s=round(made - start, 1), judge_s=round(time.process_time() - made, 1))
    each = dict(ndcg=judged.ranking.values[f"NDCG@{judges.k}"].round(4).tolist(),
                returns=judged.played.returns.tolist())
    return seconds | row | each


def main():
    parser = command_line(__doc__)
    parser.add_argument("--data", default="sample", help="'sample' or a folder of MovieLens")
    parser.add_argument("--dim", type=int, default=64, help="dimension of the item vectors")
    parser.add_argument("--agents", nargs="*", choices=list(AGENTS), default=list(AGENTS))
    parser.add_argument("--baselines", nargs="*", choices=list(BASELINES), default=list(BASELINES))
    parser.add_argument("--gammas", type=float, nargs="*", help="instead of each agent's own")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, help="instead of each agent's own")
    parser.add_argument("--sessions", type=int, default=100, help="sessions with learned users")
    parser.add_argument("--horizon", type=int, default=2, help="steps of off-policy returns")
    parser.add_argument("--out", default="judges", help="name below bench/results to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    name, data = Path(args.data).name, open_data(args.data, args.dim)
    judges = Judges(data, horizon=args.horizon, n_episodes=args.sessions, history=50)
    other = args.out and read(args.out).get("data") != name  # rows of another log go
    head = dict(protocol=judges.queries.about, sessions=args.sessions, horizon=args.horizon)
    head |= dict(gamma=judges.gamma)
    table = Table(args.out, ("name", "gamma", "seed"), lambda row: other, data=name, **head)
    table.add(dict(name="(people)", kind="log", gamma=None, seed=0) | flat(judges.people()))
    for name, kind, gamma, seed, make in models(args, data):
        row = dict(name=name, kind=kind, gamma=gamma, seed=seed) | judged_row(judges, make)
        table.add(row, hidden=("ndcg", "returns"))


if __name__ == "__main__": main()
