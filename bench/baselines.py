"""How well the baselines rank, chosen on validation questions, beside popularity and item-kNN.

    python bench/baselines.py --data sample ml-latest-small
    python bench/baselines.py --agents EASE ALS --protocols everyone        some rows again
    python bench/baselines.py --peer PYTHON --agents "RecTools SASRec"      a public implementation

--data takes 'sample' and folders of MovieLens. The logs and questions are those of bench/agents_quality.py,
so that the rows can stand in one table with those of agents. `NDCG@10 alone` leaves out the users whose last
item shares its second with the item before.

Each baseline tries its candidates on the validation part (everyone: the last item but one; held out:
validation users) with the first seed, and the best by NDCG@10 is measured on the test part with all seeds.
Sequence models train there for as many epochs as were best in validation.

The public implementation needs an environment of its own (NumPy 1): PYTHON is the interpreter of one in which
`pip install 'rectools[torch]' 'numpy<2'` was run. It learns from the same ratings, as sessions of T+1 items,
answers the same questions, and is measured by the same code. With its default step, 1e-3, it takes twice as
many epochs to the same figures. A baseline whose library is missing is left out.

Writes bench/results/baselines.json after each row; rows that are not made again stay. Each row names its
commit.
"""
import json
import os
import subprocess
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np
import pandas as pd
import torch

from agents_quality import ranking_row
from logs import PROTOCOLS, alone, open_log, open_sets
from record import Table, command_line, rounded
from recnn.evaluation.baselines import ALS, EASE, ItemKNN, Popularity, RecentPopularity, SequentialKNN
from recnn.evaluation.queries import last_out
from recnn.evaluation.sequence_baselines import SequenceConfig, fit_sequence
from recnn.items.histories import collaborative_vectors
from recnn.vectors import ItemVectors

SASREC = SequenceConfig()
SEQUENCE = {"SASRec style": SASREC, "GRU4Rec style": replace(SASREC, encoder="gru"),
            "SASRec style, tuned vectors": replace(SASREC, vectors="tuned")}
PEER = "RecTools SASRec"
CANDIDATES = {  # label: class, or None for sequence models; settings to try
    "popularity": (Popularity, [{}]),
    "recent popularity": (RecentPopularity, [dict(days=d) for d in (30, 365, 3650)]),
    "item-kNN": (ItemKNN, [dict(shrink=x) for x in (0., 10.)]),
    "sequential kNN": (SequentialKNN, [dict(window=w) for w in (2, 5, 10)]),
    "EASE": (EASE, [dict(l2=x) for x in (100., 300., 1000.)]),
    "ALS": (ALS, [dict(factors=f, alpha=a) for f in (32, 64) for a in (3., 10.)]),
    **{n: (None, [{}]) for n in (*SEQUENCE, PEER)},
}
SEEDED = ("ALS", *SEQUENCE, PEER)


def item_vectors(log, dim=64):
    "Vectors of histories with a column of popularity; items without one get a random point near the origin."
    index, vectors = collaborative_vectors(log, dim, window=5, popularity=1 / (dim + 1))
    matrix = .01 * vectors.std() * np.random.default_rng(0).standard_normal((log.n_items, dim + 1))
    matrix[index] = vectors
    return ItemVectors(log.item_ids, torch.tensor(matrix, dtype=torch.float32), log.titles)


class Lists:
    "Scores of items that stand in lists: ten for the first of each, one for the last, nothing for others."
    def __init__(self, lists, n_items): self.lists, self.n = lists, n_items
    def scores(self, queries):
        scores = torch.zeros(len(queries), self.n)
        for row, user in zip(scores, queries.user_id.tolist()):
            items = self.lists.get(str(user), [])
            row[items] = torch.arange(10., 10 - len(items), -1)
        return scores


def write_sessions(path, users, lists):
    "Write lists of items as a table of session or user, item and place."
    sizes = [len(x) for x in lists]
    places = np.concatenate([np.arange(n) for n in sizes])
    table = dict(user_id=np.repeat(users, sizes), item_id=np.concatenate(lists), place=places)
    pd.DataFrame(table).to_csv(path, index=False)


def rectools(learn, queries, seed, checks, args):
    "SASRec of RecTools after each number of epochs in `checks`: models, and the seconds that they trained."
    length = learn.frame_size  # sessions overlap by one: each item is predicted once
    sessions = [h[a:a + length + 1] for h in learn.histories() for a in range(0, len(h) - 1, length)]
    with tempfile.TemporaryDirectory() as folder:
        write_sessions(f"{folder}/learn.csv", np.arange(len(sessions)), sessions)
        write_sessions(f"{folder}/ask.csv", queries.user_id, queries.seen)
        script = Path(__file__).with_name("sequence_rectools.py")
        words = [args.peer, script, folder, length, args.peer_lr, seed, *checks]
        said = subprocess.run(list(map(str, words)), check=True, stdout=subprocess.PIPE, text=True).stdout
        lines = (line.split() for line in said.splitlines())
        seconds = {int(w[1]): float(w[2]) for w in lines if w[:1] == ["epochs"]}
        lists = {n: json.loads(Path(folder, f"lists-{n}.json").read_text()) for n in checks}
    return {n: (Lists(lists[n], learn.n_items), seconds[n]) for n in checks}


def make(name, learn, seed, chosen, queries, args):
    "A fitted baseline, and the seconds that it took."
    if name == PEER: return rectools(learn, queries, seed, [chosen["epochs"]], args)[chosen["epochs"]]
    cls, start = CANDIDATES[name][0], time.process_time()
    if cls is None: model = fit_sequence(learn, SEQUENCE[name], seed, chosen["epochs"])[0]
    else: model = cls.learn(learn, seed, **chosen) if name in SEEDED else cls(learn, **chosen)
    return model, round(time.process_time() - start, 1)  # of one core


def choose(name, learn, asked, args):
    "The best candidate on validation questions, and its figures."
    queries, seed = asked[0], args.seeds[0]
    if name in SEQUENCE:
        model, log = fit_sequence(learn, SEQUENCE[name], seed, args.epochs, queries)
        best = int(np.argmax([r["ndcg"] for r in log if "ndcg" in r]))
        return dict(epochs=best + 1), ranking_row(model, *asked)
    if name == PEER:
        models = rectools(learn, queries, seed, range(3, 3 * args.epochs + 1, 3), args)
        tried = [(dict(epochs=n, lr=args.peer_lr), ranking_row(m, *asked)) for n, (m, _) in models.items()]
    else:
        settings = CANDIDATES[name][1]
        tried = [(c, ranking_row(make(name, learn, seed, c, queries, args)[0], *asked)) for c in settings]
    return max(tried, key=lambda x: x[1]["NDCG@10"])


def open_part(log, protocol, part):
    "Windows to learn from, and the questions with the mask of users whose last item is alone in its second."
    logs = PROTOCOLS[protocol](log, part)
    learn, ask = open_sets(logs, item_vectors(logs[0]))
    queries = last_out(ask)
    return learn, (queries, alone(logs[1], queries))


def measure(data, protocol, args, add):
    "Rows of one log under one protocol."
    log, about = open_log(data), dict(data=Path(data).name, protocol=protocol)
    (vl, vq), (tl, tq) = (open_part(log, protocol, part) for part in ("valid", "test"))
    for name in args.agents:
        try: chosen, row = choose(name, vl, vq, args)
        except ImportError as e:
            print(f"{name} is left out: {e}")
            continue
        users = lambda asked: dict(users=len(asked[0]))
        head = about | dict(part="valid", agent=name, seed=args.seeds[0]) | users(vq)
        add(rounded(head | row | dict(chosen=chosen)))
        for seed in args.seeds if name in SEEDED else args.seeds[:1]:
            model, seconds = make(name, tl, seed, chosen, tq[0], args)
            head = about | dict(part="test", agent=name, seed=seed) | users(tq)
            add(rounded(head | ranking_row(model, *tq) | dict(seconds=seconds, chosen=chosen)))


def without_missing_peer(args):
    "The agents asked for, without the public implementation where its environment is missing."
    if PEER not in args.agents: return args.agents
    check = [args.peer or "", "-c", "import rectools.models, pytorch_lightning"]
    try: subprocess.run(check, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print(f"{PEER} is left out: --peer must be the Python of an environment that has RecTools")
        return [n for n in args.agents if n != PEER]
    return args.agents


def main():
    parser = command_line(__doc__)
    parser.add_argument("--data", nargs="+", default=["sample"], help="'sample' or folders of MovieLens")
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    default = [n for n in CANDIDATES if n != PEER]
    parser.add_argument("--agents", nargs="+", choices=list(CANDIDATES), default=default)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6,
                        help="of a sequence model, at most; three times as many of the public one")
    parser.add_argument("--peer", help="Python of an environment in which RecTools is installed")
    parser.add_argument("--peer-lr", type=float, default=3e-3, help="step of RecTools' SASRec")
    parser.add_argument("--out", default="baselines", help="name below bench/results to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.agents = without_missing_peer(args)
    table = Table(args.out, ("data", "protocol", "part", "agent", "seed"))
    for data in args.data:
        for protocol in args.protocols: measure(data, protocol, args, partial(table.add, hidden=("places",)))


if __name__ == "__main__": main()
