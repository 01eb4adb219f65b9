"""How well the baselines of recnn.evaluation.baselines rank, chosen on validation questions, beside popularity and item-kNN.

    python bench/baselines.py --data sample ml-latest-small     the table; the second is a folder with ratings.csv and movies.csv
    python bench/baselines.py --agents EASE ALS --protocols everyone     some rows anew

    python bench/baselines.py --peer PYTHON --agents "RecTools SASRec" --protocols everyone     a public implementation

The public implementation needs an environment of its own (NumPy 1): PYTHON is the interpreter of one where
`pip install 'rectools[torch]' 'numpy<2'` was run. It is given the same ratings, as sessions of as many films as a state and
the next hold, asked the same questions, and judged by the same code. With its default step, 1e-3, it takes twice as many epochs to
the same figures.

Writes bench/results/baselines.json after each row; rows that are not made anew stay. Each row names its commit. The logs and
questions are those of bench/agents_quality.py, so that the rows can stand in one table with the agents'.

`NDCG@10 alone` leaves out the users whose last film shares its second with the film before.

Each baseline tries its candidates on the validation part (everyone: the last film but one; held out: validation users) with
the first seed, and the best by NDCG@10 is measured on the test part with all seeds. Sequence models train there for as many
epochs as were best in validation.
"""
import argparse, json, os, subprocess, sys, tempfile, time
from dataclasses import replace
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import numpy as np
import pandas as pd
import torch

from agents_quality import alone, everyone, held_out
from recnn.evaluation.baselines import ALSScorer, EASEScorer, RecentPopularityScorer, SequenceConfig, SequentialKNNScorer, fit_sequence
from recnn.items.histories import collaborative_vectors
from recnn.data.windows import TransitionDataset, build_dataset
from recnn.items.text import ItemEmbeddings
from recnn.evaluation.ranking import ItemKNNScorer, PopularityScorer, diversity, hit_rate, last_out, ndcg, recommend_all
from recnn.data.log import atomic_write, load_sample, read_ratings
from record import RESULTS, commit, machine

torch.set_num_threads(1)
SASREC = SequenceConfig()
SEQUENCE = {"SASRec style": SASREC, "GRU4Rec style": replace(SASREC, encoder="gru"), "SASRec style, tuned vectors": replace(SASREC, vectors="tuned")}
PEER = "RecTools SASRec"
CANDIDATES = {  # name: function of training windows, those who ask, seed and a setting; settings; whether the seed matters
    "popularity": (lambda t, a, s: PopularityScorer(t), [{}], False),
    "recent popularity": (lambda t, a, s, **c: RecentPopularityScorer(t, ask=a, **c), [dict(days=d) for d in (30, 365, 3650)], False),
    "item-kNN": (lambda t, a, s, **c: ItemKNNScorer(t, **c), [dict(shrink=x) for x in (0., 10.)], False),
    "sequential kNN": (lambda t, a, s, **c: SequentialKNNScorer(t, **c), [dict(window=w) for w in (2, 5, 10)], False),
    "EASE": (lambda t, a, s, **c: EASEScorer(t, **c), [dict(l2=x) for x in (100., 300., 1000.)], False),
    "ALS": (lambda t, a, s, **c: ALSScorer(t, seed=s, **c), [dict(factors=f, alpha=a) for f in (32, 64) for a in (3., 10.)], True),
    **{n: (None, [{}], True) for n in (*SEQUENCE, PEER)},
}


def film_vectors(log, ids, dim=64):
    "Vectors from histories and a column of popularity; films that the log does not place lie near the origin, each at its own point."
    placed, vectors = collaborative_vectors(log, None, dim, window=5, popularity=1 / (dim + 1))
    matrix = .01 * vectors.std() * np.random.default_rng(0).standard_normal((len(ids), dim + 1))
    matrix[np.searchsorted(ids, placed)] = vectors
    return ItemEmbeddings(ids, torch.tensor(matrix, dtype=torch.float32), [f"film {i}" for i in ids])


def figures(scorer, questions):
    "Ranking over all users, and over those whose last film has a second of its own."
    queries, own = questions
    ranked = recommend_all(scorer, queries)
    gain, d = ndcg(ranked, queries.target), diversity(ranked)
    return {"HR@10": hit_rate(ranked, queries.target).mean().item(), "NDCG@10": gain.mean().item(), "NDCG@10 alone": gain[own].mean().item(),
            "distinct @1": d["distinct_1"], "distinct @10": d["distinct_k"], "share of top film": d["top_share"], "entropy (bits)": d["entropy"]}


class Lists:
    "Scores of films that stand in lists: ten for the first of each, one for the last, nothing for others."
    def __init__(self, lists, n_items): self.lists, self.n = lists, n_items
    def __call__(self, queries):
        scores = torch.zeros(len(queries), self.n)
        for row, user in zip(scores, queries.user_id.tolist()):
            films = self.lists.get(str(user), [])
            row[films] = torch.arange(10., 10 - len(films), -1)
        return scores


def rectools(learn, queries, seed, checks, args):
    "SASRec of RecTools after each of some numbers of epochs, as scorers, and the seconds that it trained."
    length = learn.frame_size
    sessions = [h[a:a + length + 1] for h in learn.histories() for a in range(0, len(h) - 1, length)]  # each film is to be found once
    with tempfile.TemporaryDirectory() as folder:
        for name, whose, lists in (("learn", np.arange(len(sessions)), sessions), ("ask", queries.user_id, queries.seen)):
            sizes = [len(x) for x in lists]
            table = dict(user_id=np.repeat(whose, sizes), item_id=np.concatenate(lists), place=np.concatenate([np.arange(n) for n in sizes]))
            pd.DataFrame(table).to_csv(f"{folder}/{name}.csv", index=False)
        words = [args.peer, Path(__file__).with_name("sequence_rectools.py"), folder, length, args.peer_lr, seed, *checks]
        said = subprocess.run(list(map(str, words)), check=True, stdout=subprocess.PIPE, text=True).stdout
        seconds = {int(w[1]): float(w[2]) for w in map(str.split, said.splitlines()) if w[:1] == ["epochs"]}
        return {n: (Lists(json.loads(Path(folder, f"lists-{n}.json").read_text()), len(learn.embeddings)), seconds[n]) for n in checks}


def choose(name, learn, queries, ask, args):
    "The best candidate on validation questions, and its figures."
    if name == PEER:
        tried = rectools(learn, queries[0], args.seeds[0], range(3, 3 * args.epochs + 1, 3), args)
        return max(((dict(epochs=n, lr=args.peer_lr), figures(s, queries)) for n, (s, _) in tried.items()), key=lambda x: x[1]["NDCG@10"])
    make, settings, _ = CANDIDATES[name]
    if make is None:
        model, log = fit_sequence(learn, SEQUENCE[name], args.seeds[0], args.epochs, queries[0])
        epochs = int(np.argmax([r["ndcg"] for r in log if "ndcg" in r])) + 1
        return dict(epochs=epochs), figures(model, queries)
    tried = [(c, figures(make(learn, ask, args.seeds[0], **c), queries)) for c in settings]
    return max(tried, key=lambda x: x[1]["NDCG@10"])


def open_part(ratings, protocol, part, folder):
    logs = (everyone if protocol == "everyone" else held_out)(ratings, part)
    films = film_vectors(logs[0], np.unique(ratings.item_id))  # made of the ratings that are learnt from
    for name, log in zip(("learn", "ask"), logs): build_dataset(log, folder / f"{name}.hdf5")
    learn, ask = (TransitionDataset(folder / f"{name}.hdf5", films) for name in ("learn", "ask"))
    queries = last_out(ask)
    return learn, ask, (queries, alone(logs[1], queries))


def measure(data, protocol, args, add):
    ratings = load_sample()[0] if data == "sample" else read_ratings(Path(data) / "ratings.csv")
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        (vl, va, vq), (tl, ta, tq) = (open_part(ratings, protocol, part, Path(f)) for part, f in (("valid", a), ("test", b)))
        for name in args.agents:
            make, _, seeded = CANDIDATES[name]
            chosen, row = choose(name, vl, vq, va, args)
            add(data=Path(data).name, protocol=protocol, part="valid", agent=name, seed=args.seeds[0], users=len(vq[0]), **row, chosen=chosen)
            for seed in args.seeds if seeded else args.seeds[:1]:
                start = time.process_time()
                if name == PEER: scorer, seconds = rectools(tl, tq[0], seed, [chosen["epochs"]], args)[chosen["epochs"]]
                else:
                    scorer = make(tl, ta, seed, **chosen) if make else fit_sequence(tl, SEQUENCE[name], seed, chosen["epochs"])[0]
                    seconds = round(time.process_time() - start, 1)  # of one core
                add(data=Path(data).name, protocol=protocol, part="test", agent=name, seed=seed, users=len(tq[0]), **figures(scorer, tq), seconds=seconds, chosen=chosen)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["sample"], help="'sample' or folders with ratings.csv and movies.csv")
    parser.add_argument("--protocols", nargs="+", choices=["everyone", "held out"], default=["everyone", "held out"])
    parser.add_argument("--agents", nargs="+", choices=list(CANDIDATES), default=[n for n in CANDIDATES if n != PEER])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6, help="of a sequence model, at most; of the peer three times as many")
    parser.add_argument("--peer", help="Python in whose environment RecTools is installed")
    parser.add_argument("--peer-lr", type=float, default=3e-3, help="step of RecTools' SASRec")
    parser.add_argument("--out", default="baselines", help="name below bench/results to write")
    args = parser.parse_args()
    if PEER in args.agents and not args.peer: parser.error(f"{PEER} needs --peer, the Python of an environment where RecTools is installed")
    path, now = RESULTS / f"{args.out}.json", commit()
    head = dict(machine=machine())
    def add(**row):  # read anew each time: another data set may be measured at the same time
        rows = json.loads(path.read_text())["rows"] if path.is_file() else []
        rows = [r for r in rows if any(r[k] != row[k] for k in ("data", "protocol", "part", "agent", "seed"))]
        rows.append({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()} | dict(commit=now)); print(json.dumps(rows[-1]), flush=True)
        with atomic_write(path) as out: out.write_text(json.dumps(head)[:-1] + ', "rows": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]}\n")
    for data in args.data:
        for protocol in args.protocols: measure(data, protocol, args, add)


if __name__ == "__main__": main()
