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

from recnn.data.windows import TransitionDataset, build_dataset
from recnn.agents.ddpg import DDPG, DDPGConfig
from recnn.agents.item_agent import IQL, BehaviourCloning, FilmConfig, IQLConfig, TD3Films, TD3FilmsConfig, TopKConfig, TopKReinforce
from recnn.evaluation.baselines import SequentialKNNScorer
from recnn.items.text import similarity
from recnn.evaluation.ranking import AgentScorer, ItemKNNScorer, PopularityScorer, RandomScorer, last_out, q_and_return, short_row
from recnn.evaluation.ranking import measure as measure_lists
from recnn.items.merge import embed_films
from recnn.agents.td3_bc import TD3BC, RerankScorer, TD3BCConfig
from recnn.data.log import leave_last_out, load_sample, read_movies, read_ratings, split_users
from recnn.agents.td3 import TD3, TD3Config
from recnn.agents.fit import fit
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


def film_vectors(log, movies, cache=None, dim=64):
    "As in `recnn embed`: text, histories and metadata merged, popularity as one more whitened number."
    return embed_films(movies, log, dim=dim, popularity=1 / dim, cache=cache)


def open_log(name):
    ratings, movies = load_sample() if name == "sample" else (read_ratings(Path(name) / "ratings.csv"), read_movies(Path(name) / "movies.csv"))
    return ratings, movies[movies.item_id.isin(ratings.item_id)].reset_index(drop=True)


def everyone(ratings, part):
    "Log to learn from, log to ask about."
    if part == "valid": ratings = leave_last_out(ratings)[0]
    return leave_last_out(ratings)[0], ratings


def held_out(ratings, part):
    users = split_users(ratings.user_id)
    return ratings[ratings.user_id.isin(users.train)].reset_index(drop=True), ratings[ratings.user_id.isin(getattr(users, part))].reset_index(drop=True)


def alone(log, queries):
    """Whether the last film of each user has a second of its own. Ratings of one second stand by film id: a model of the order can learn
    that, and it is no taste."""
    tied = log.user_id[(log.timestamp.diff() == 0) & (log.user_id.diff() == 0) & ~log.duplicated("user_id", keep="last")]
    return torch.from_numpy(~np.isin(queries.user_id, tied))


def open_sets(learn, ask, movies, folder, cache=None, **options):
    films = film_vectors(learn, movies, cache, **options)
    for name, log in (("learn", learn), ("ask", ask)): build_dataset(log, folder / f"{name}.hdf5")
    return (TransitionDataset(folder / f"{name}.hdf5", films) for name in ("learn", "ask"))


def values(agent, asked):
    "Q beside the return, as shares of the mean return."
    v = q_and_return(agent, asked)
    mean = v["returns"].mean()
    return dict(q_logged=v["q_logged"].mean() / mean, q_own=v["q_policy"].mean() / mean, correlation=np.corrcoef(v["q_logged"], v["returns"])[0, 1],
                above_logged=(v["q_policy"].mean() - v["q_logged"].mean()) / mean, returns=mean)


def shape(agent, queries, films):
    "Length of the actions and distance to the nearest film, beside those of the films that came next."
    actions, real = agent.act(queries.state), films.matrix[queries.target]
    others = similarity(real, films.matrix, "euclidean").scatter(1, queries.target[:, None], -torch.inf)
    return dict(length=actions.norm(dim=1).mean().item(), nearest=-similarity(actions, films.matrix, "euclidean").amax(1).mean().item(),
                real_length=real.norm(dim=1).mean().item(), real_nearest=-others.amax(1).mean().item())


def train(name, learn, seed, updates, settings):
    cls, config, fixed, default = AGENTS[name]
    agent = cls(config(frame_size=learn.frame_size, embed_dim=learn.embeddings.dim, **{**fixed, **settings}), seed)
    start = time.process_time(); fit(agent, learn, updates or default, seed)
    return agent, time.process_time() - start  # of one core


def rank(scorers, queries, own):
    "Rows of ranking over all users, and NDCG over those whose last film has a second of its own."
    made = {n: measure_lists(scorer, queries) for n, scorer in scorers.items()}
    return {n: {k: float(v) for k, v in short_row(r, [10]).items() if "s.e." not in k} | {"NDCG@10 alone": float(r.values["NDCG@10"][own.numpy()].mean())} for n, r in made.items()}


def measure(args, part, seeds, add, folder):
    ratings, movies = open_log(args.data)
    for protocol, logs in (("everyone", everyone(ratings, part)), ("held out", held_out(ratings, part))):
        if protocol not in args.protocols: continue
        (place := folder / part / protocol).mkdir(parents=True)
        learn, ask = open_sets(*logs, movies, place, args.cache or folder / "texts.db", **args.films)
        films, queries = learn.embeddings, last_out(ask)
        own = alone(logs[1], queries)
        about = dict(part=part, protocol=protocol, users=len(queries))
        if args.baselines:
            made = zip(BASELINES, (RandomScorer(len(films)), PopularityScorer(learn), ItemKNNScorer(learn), SequentialKNNScorer(learn)))
            for name, row in rank(dict(made), queries, own).items(): add(agent=name, seed=0, **about, **row)
        for name in args.agents:
            for seed in seeds[:args.held_seeds] if protocol == "held out" else seeds:
                agent, seconds = train(name, learn, seed, args.updates, args.settings)
                truth = values(agent, ask) | shape(agent, queries, films) if protocol == "held out" else {}
                for n, row in rank({name: AgentScorer(agent, films), f"{name}, re-ranked": RerankScorer(agent, films)}, queries, own).items():
                    add(agent=n, seed=seed, **about, seconds=round(seconds, 1), updates=agent.n_updates, **row, **(truth if n == name else {}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="'sample' or a folder with ratings.csv and movies.csv")
    parser.add_argument("--parts", nargs="+", choices=["valid", "test"], default=["valid", "test"], help="valid is run with the first seed alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--agents", nargs="*", default=list(AGENTS))
    parser.add_argument("--updates", type=int, help="instead of each agent's own")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON of configuration fields, for choosing")
    parser.add_argument("--films", type=json.loads, default={}, help="JSON of options of the film vectors, for choosing")
    parser.add_argument("--protocols", nargs="+", choices=["everyone", "held out"], default=["everyone", "held out"]); parser.add_argument("--cache", help="file that keeps the vectors of texts")
    parser.add_argument("--held-seeds", type=int, default=3, help="of those, how many for held-out users"); parser.add_argument("--baselines", type=int, default=1)
    parser.add_argument("--out", help="name below bench/results to write")
    args = parser.parse_args()
    path, now = RESULTS / f"{args.out}.json", commit()
    head = dict(machine=machine(), data=Path(args.data).name)
    made_anew = lambda r: r["part"] in args.parts and r["protocol"] in args.protocols and (r["agent"].removesuffix(", re-ranked") in args.agents or (args.baselines and r["agent"] in BASELINES))
    rows = [r for r in json.loads(path.read_text())["rows"] if not made_anew(r)] if args.out and path.is_file() else []
    def add(**row):
        rows.append({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()} | dict(commit=now)); print(json.dumps(rows[-1]), flush=True)
        if args.out: path.write_text(json.dumps(head)[:-1] + ', "rows": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]}\n")
    with tempfile.TemporaryDirectory() as folder:
        for part in args.parts: measure(args, part, args.seeds[:1] if part == "valid" else args.seeds, add, Path(folder))


if __name__ == "__main__": main()
