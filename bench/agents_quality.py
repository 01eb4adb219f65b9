"""How well every agent ranks, how varied it is, and whether its critic tells the truth.

    python bench/agents_quality.py --parts valid --seeds 0 --agents IQL --settings '{"beta": 1}'   choose
    python bench/agents_quality.py --data sample --out agents-sample                               a table

Writes bench/results/<out>.json after each row, so that a run that is stopped leaves what it has; rows of agents that are not
named stay in the file. Each row names the commit that it comes from.

Two protocols, one table a data set. *Everyone*: all users, their ratings but the last to learn from, the last film to find
(part valid: the last but one, learnt from the ratings before it). *Held out*: the agent learns from the training
users alone, and Q is compared with the discounted return of users it has never seen. Film vectors come from the same
ratings as the agent's windows. Every film is ranked, films seen before are left out.
"""
import argparse, json, math, os, sys, tempfile, time
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import numpy as np
import torch

from recnn.dataset import TransitionDataset, build_dataset
from recnn.ddpg import DDPG, DDPGConfig
from recnn.discrete import IQL, BehaviourCloning, FilmConfig, IQLConfig, TD3Films, TD3FilmsConfig, TopKConfig, TopKReinforce
from recnn.embeddings import ItemEmbeddings
from recnn.evaluation import AgentScorer, ItemKNNScorer, PopularityScorer, RandomScorer, last_out, q_and_return, rank_table
from recnn.offline import TD3BC, RerankScorer, TD3BCConfig
from recnn.ratings import leave_last_out, load_sample, read_movies, read_ratings, split_users
from recnn.td3 import TD3, TD3Config
from recnn.training import fit
from record import RESULTS, commit, machine

torch.set_num_threads(1)
BASELINES = ("random", "popularity", "item-kNN", "sequential kNN")
AGENTS = {  # name: class, configuration, updates
    "DDPG": (DDPG, DDPGConfig, dict(bound="tanh"), 1000),
    "TD3": (TD3, TD3Config, dict(bound="tanh"), 1000),
    "TD3+BC": (TD3BC, TD3BCConfig, dict(), 1000),
    "behaviour cloning": (BehaviourCloning, FilmConfig, dict(), 300),
    "myopic": (IQL, IQLConfig, dict(gamma=0., beta=1.), 300),
    "TD3 over films": (TD3Films, TD3FilmsConfig, dict(), 300),
    "top-K REINFORCE": (TopKReinforce, TopKConfig, dict(), 300),
    "IQL": (IQL, IQLConfig, dict(), 300),
}


def film_vectors(log, ids, titles, dim=64, window=5):
    "PPMI of co-occurrence within `window` films, by SVD, and the logarithm of popularity as one more number."
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import svds
    position, user, n = np.searchsorted(ids, log.item_id), log.user_id.to_numpy(), len(ids)
    pairs = [(position[:-d][same], position[d:][same], np.full(same.sum(), 1 / d)) for d in range(1, window + 1) for same in [user[:-d] == user[d:]]]
    a, b, w = (np.concatenate(x) for x in zip(*pairs))
    c = coo_array((np.r_[w, w], (np.r_[a, b], np.r_[b, a])), shape=(n, n)).tocsr().tocoo()
    total = np.bincount(c.row, c.data, n)
    share = total**.75 / (total**.75).sum()
    x = np.log(c.data / (total[c.row] * share[c.col]))
    keep = (x > 0) & (c.row != c.col)
    m = coo_array((x[keep], (c.row[keep], c.col[keep])), shape=(n, n)).tocsr()
    u, s, _ = svds((m + m.T) / 2, k=dim, v0=np.random.default_rng(0).standard_normal(n))
    vectors = u * np.sqrt(s)
    popularity = np.log1p(np.bincount(position, minlength=n))
    matrix = np.c_[vectors / vectors.std(), (popularity - popularity.mean()) / popularity.std()]
    return ItemEmbeddings(ids, torch.tensor(matrix, dtype=torch.float32), titles)


class SequentialKNN:
    "Films that followed the last ten within five places, nearer ones counting more."
    def __init__(self, train, window=5):
        from scipy.sparse import coo_array
        h = train.histories(); n = len(train.embeddings)
        a, b, w = (np.concatenate(x) for x in zip(*((x[:-d], x[d:], np.full(max(len(x) - d, 0), 1 / d)) for x in h for d in range(1, window + 1))))
        self.follows = coo_array((w, (a, b)), shape=(n, n)).tocsr()
        self.lookup = {v.tobytes(): i for i, v in enumerate(train.embeddings.matrix.numpy())}

    def __call__(self, queries):
        scores = np.zeros((len(queries), self.follows.shape[0]), "float32")
        frame = queries.state.shape[1]
        for d in range(1, frame + 1):
            at = [self.lookup[v.tobytes()] for v in queries.state[:, frame - d, :-1].contiguous().numpy()]
            scores += self.follows[at].toarray() / d
        return torch.from_numpy(scores)


def open_log(name):
    if name == "sample": ratings, movies = load_sample()
    else:
        folder = Path(name)
        ratings, movies = read_ratings(folder / "ratings.csv"), read_movies(folder / "movies.csv")
    ids = np.unique(ratings.item_id)
    titles = dict(zip(movies.item_id, movies.title))
    return ratings, ids, [titles[i] for i in ids]


def everyone(ratings, part):
    "Log to learn from, log to ask about."
    if part == "valid": ratings = leave_last_out(ratings)[0]
    return leave_last_out(ratings)[0], ratings


def held_out(ratings, part):
    users = split_users(ratings.user_id)
    return ratings[ratings.user_id.isin(users.train)].reset_index(drop=True), ratings[ratings.user_id.isin(getattr(users, part))].reset_index(drop=True)


def open_sets(learn, ask, ids, titles, folder, options):
    films = film_vectors(learn, ids, titles, **options)
    for name, log in (("learn", learn), ("ask", ask)): build_dataset(log, folder / f"{name}.hdf5")
    return (TransitionDataset(folder / f"{name}.hdf5", films) for name in ("learn", "ask"))


def values(agent, asked):
    v = q_and_return(agent, asked)
    mean = v["returns"].mean()
    return dict(q_logged=v["q_logged"].mean() / mean, q_own=v["q_policy"].mean() / mean, correlation=np.corrcoef(v["q_logged"], v["returns"])[0, 1],
                above_logged=(v["q_policy"].mean() - v["q_logged"].mean()) / mean, returns=mean)


def train(name, learn, seed, updates, settings):
    cls, config, fixed, default = AGENTS[name]
    agent = cls(config(frame_size=learn.frame_size, embed_dim=learn.embeddings.dim, **{**fixed, **settings}), seed)
    start = time.process_time(); fit(agent, learn, updates or default, seed)
    return agent, time.process_time() - start  # of one core


def rank(scorers, queries):
    return {n: {k: float(v) for k, v in row.items() if "s.e." not in k} for n, row in rank_table(scorers, queries).to_dict("index").items()}


def measure(args, part, seeds, add):
    ratings, ids, titles = open_log(args.data)
    with tempfile.TemporaryDirectory() as folder:
        for protocol, logs in (("everyone", everyone(ratings, part)), ("held out", held_out(ratings, part))):
            (place := Path(folder) / protocol).mkdir()
            learn, ask = open_sets(*logs, ids, titles, place, args.films)
            films, queries = learn.embeddings, last_out(ask)
            make = dict(zip(BASELINES, (lambda t: RandomScorer(len(films)), PopularityScorer, ItemKNNScorer, SequentialKNN)))
            for name, row in (rank({n: m(learn) for n, m in make.items()}, queries) if args.baselines else {}).items(): add(agent=name, part=part, protocol=protocol, seed=0, users=len(queries), **row)
            for name in args.agents:
                for seed in seeds[:args.held_seeds] if protocol == "held out" else seeds:
                    agent, seconds = train(name, learn, seed, args.updates, args.settings)
                    scorers = {name: AgentScorer(agent, films, agent.kind), f"{name}, re-ranked": RerankScorer(agent, films)}
                    truth = values(agent, ask) if protocol == "held out" else {}
                    for n, row in rank(scorers, queries).items():
                        add(agent=n, part=part, protocol=protocol, seed=seed, users=len(queries), seconds=round(seconds, 1), **row, **(truth if n == name else {}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="'sample' or a folder with ratings.csv and movies.csv")
    parser.add_argument("--parts", nargs="+", choices=["valid", "test"], default=["valid", "test"], help="valid is run with the first seed alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--agents", nargs="*", default=list(AGENTS))
    parser.add_argument("--updates", type=int, help="instead of each agent's own")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON of configuration fields, for choosing")
    parser.add_argument("--films", type=json.loads, default={}, help="JSON of options of the film vectors, for choosing")
    parser.add_argument("--held-seeds", type=int, default=3, help="of those, how many for held-out users"); parser.add_argument("--baselines", type=int, default=1)
    parser.add_argument("--out", help="name below bench/results to write")
    args = parser.parse_args()
    path, now = RESULTS / f"{args.out}.json", commit()
    head = dict(machine=machine(), data=Path(args.data).name)
    made_anew = lambda r: r["part"] in args.parts and (r["agent"].removesuffix(", re-ranked") in args.agents or (args.baselines and r["agent"] in BASELINES))
    rows = [r for r in json.loads(path.read_text())["rows"] if not made_anew(r)] if args.out and path.is_file() else []
    def add(**row):
        rows.append({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()} | dict(commit=now)); print(json.dumps(rows[-1]), flush=True)
        if args.out: path.write_text(json.dumps(head)[:-1] + ', "rows": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]}\n")
    for part in args.parts: measure(args, part, args.seeds[:1] if part == "valid" else args.seeds, add)


if __name__ == "__main__": main()
