"""Does reinforcement learning help on this log, by which judge, and does gamma matter?

    python bench/judges.py                       baselines and agents, gamma from 0, several seeds
    python bench/judges.py --agents IQL --gammas 0 0.9 --seeds 0

Writes bench/results/judges.json after each row, so that a run that is stopped leaves what it has; rows that are asked for again
replace the old ones. Agents and film vectors learn from training users alone, and nothing is chosen here: updates and
settings are the agents' defaults. All are asked by the same test users and judged as in `recnn.evaluation.judges`;
NDCG of each user and return of each session are kept, so that differences can be looked at in pairs.
"""
import argparse, json, math, os, sys, tempfile, time
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import torch

from recnn.evaluation.baselines import EASEScorer, RecentPopularityScorer, SequentialKNNScorer, fit_sequence
from recnn.items.histories import collaborative_vectors
from recnn.data.windows import TransitionDataset, build_dataset
from recnn.agents.item_agent import IQL, BehaviourCloning, FilmConfig, IQLConfig, TD3Films, TD3FilmsConfig
from recnn.items.text import ItemEmbeddings
from recnn.evaluation.ranking import ItemKNNScorer, PopularityScorer, RandomScorer, last_out
from recnn.evaluation.judges import Judges, judged_row, people_row
from recnn.agents.td3_bc import TD3BC, TD3BCConfig
from recnn.data.log import load_sample, read_movies, read_ratings, split_users
from recnn.agents.td3 import TD3, TD3Config
from recnn.agents.fit import fit
from record import RESULTS, commit, machine

torch.set_num_threads(1)
AGENTS = {  # name: class, configuration, settings, updates, gammas
    "behaviour cloning": (BehaviourCloning, FilmConfig, dict(), 300, (0.9,)),
    "IQL": (IQL, IQLConfig, dict(), 300, (0., 0.5, 0.9)),
    "TD3 over films": (TD3Films, TD3FilmsConfig, dict(), 300, (0., 0.5, 0.9)),
    "TD3+BC": (TD3BC, TD3BCConfig, dict(), 1000, (0., 0.5, 0.9)),
    "TD3": (TD3, TD3Config, dict(bound="tanh"), 1000, (0.9,)),
}
BASELINES = {
    "random": lambda ds, train, seed: RandomScorer(len(ds.embeddings), seed),
    "popularity": lambda ds, train, seed: PopularityScorer(train),
    "recent popularity": lambda ds, train, seed: RecentPopularityScorer(train, 365., ask=ds),
    "item-kNN": lambda ds, train, seed: ItemKNNScorer(train),
    "sequential kNN": lambda ds, train, seed: SequentialKNNScorer(train),
    "EASE": lambda ds, train, seed: EASEScorer(train),
    "transformer": lambda ds, train, seed: fit_sequence(train, seed=seed, epochs=10, valid=last_out(ds.part("valid")))[0],
}


def open_data(name, folder, dim):
    "Windows of all users, with vectors that training users alone have made."
    ratings, movies = load_sample() if name == "sample" else (read_ratings(Path(name) / "ratings.csv"), read_movies(Path(name) / "movies.csv"))
    users = split_users(ratings.user_id)
    ids, vectors = collaborative_vectors(ratings, users.train, dim - 1, popularity=1 / dim)
    kept = ratings[ratings.item_id.isin(ids)].reset_index(drop=True)
    titles = movies.set_index("item_id").title
    matrix = torch.tensor(vectors)
    build_dataset(kept, folder / "data.hdf5", split=users)
    return TransitionDataset(folder / "data.hdf5", ItemEmbeddings(ids, matrix / matrix.square().mean().sqrt(), [titles[i] for i in ids]))


def flat(row):
    "Columns of two words as one; empty where there is nothing to say."
    number = lambda x: None if isinstance(x, float) and math.isnan(x) else x if isinstance(x, str) else round(float(x), 5)
    return {f"{judge}: {column}": number(x) for (judge, column), x in row.items()}


def players(args, ds):
    "Yield name, kind, gamma, seed and a function that makes the player."
    train = ds.part("train")
    for name in args.baselines: yield name, "baseline", None, 0, lambda: BASELINES[name](ds, train, 0)
    for seed in args.seeds: # a run that is stopped has whole seeds
        for name in args.agents:
            cls, config, settings, updates, gammas = AGENTS[name]
            for gamma in args.gammas or gammas:
                def make():
                    agent = cls(config(embed_dim=ds.embeddings.dim, gamma=gamma, **settings), seed)
                    fit(agent, train, args.updates or updates, seed)
                    return agent
                yield name, "agent", gamma, seed, make


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="'sample' or a folder with ratings.csv and movies.csv")
    parser.add_argument("--dim", type=int, default=64, help="numbers a film")
    parser.add_argument("--agents", nargs="*", default=list(AGENTS))
    parser.add_argument("--baselines", nargs="*", default=list(BASELINES))
    parser.add_argument("--gammas", type=float, nargs="*", help="instead of each agent's own")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, help="instead of each agent's own")
    parser.add_argument("--sessions", type=int, default=100, help="with learnt users")
    parser.add_argument("--horizon", type=int, default=2, help="steps of off-policy returns")
    parser.add_argument("--out", default="judges", help="name below bench/results to write")
    args = parser.parse_args()
    path, now = RESULTS / f"{args.out}.json", commit()
    old = json.loads(path.read_text()) if path.is_file() else {}
    rows = old.get("rows", []) if old.get("data") == Path(args.data).name else []
    key = lambda r: (r["name"], r["gamma"], r["seed"])
    with tempfile.TemporaryDirectory() as folder:
        ds = open_data(args.data, Path(folder), args.dim)
        judges = Judges(ds, horizon=args.horizon, n_episodes=args.sessions)
        head = dict(machine=machine(), data=Path(args.data).name, protocol=judges.queries.about, sessions=args.sessions, horizon=args.horizon, gamma=judges.gamma)
        def add(row):
            rows[:] = [r for r in rows if key(r) != key(row)] + [row | dict(commit=now)]
            path.write_text(json.dumps(head)[:-1] + ', "rows": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]}\n")
            print(json.dumps({k: v for k, v in rows[-1].items() if k not in ("ndcg", "returns")}), flush=True)
        add(dict(name="(people)", kind="log", gamma=None, seed=0, **flat(people_row(judges))))
        for name, kind, gamma, seed, make in players(args, ds):
            start = time.process_time(); who = make(); made = time.process_time()
            judged = judges(who)
            row = flat(judged_row(judged, judges.k, judges.level, judges.seed))
            each = dict(ndcg=judged.ranking.values[f"NDCG@{judges.k}"].round(4).tolist(), returns=judged.played.returns.tolist() if judged.played else [])
            add(dict(name=name, kind=kind, gamma=gamma, seed=seed, fit_s=round(made - start, 1), judge_s=round(time.process_time() - made, 1), **row, **each))


if __name__ == "__main__": main()
