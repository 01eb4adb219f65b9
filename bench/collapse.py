"""When DDPG collapses on real ratings, when its values run away, and which of TD3's three changes does what.

    python bench/collapse.py

The bundled sample; vectors of films from the histories of training users; agents learn from training users and are watched
on validation users. Three parts: `bounds`, DDPG and TD3 under each bound of their actions over training; `conditions`, one
setting changed at a time; `switches`, the eight combinations of TD3's changes inside the tanh of its paper. Writes
bench/results/collapse.json after each run, one seed after the other: a run that is stopped leaves what it has.
"""
import argparse, itertools, json, os, sys, tempfile
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import numpy as np
import torch

from recnn.items.histories import collaborative_vectors
from recnn.data.windows import TransitionDataset, build_dataset
from recnn.agents.ddpg import DDPG, DDPGConfig
from recnn.items.text import ItemEmbeddings, embed_movies, similarity
from recnn.evaluation.ranking import AgentScorer, PopularityScorer, diversity, last_out, mean_distance, ndcg, q_and_return, recommend_all
from recnn.data.log import load_sample, split_users
from recnn.agents.td3 import TD3, TD3Config
from recnn.agents.fit import fit
from record import RESULTS, commit, machine

torch.set_num_threads(1)
BOUNDS = dict(none=1000, tanh=2000, sphere=2000)  # updates; without a bound, numbers soon overflow
CONDITIONS = {  # one change each to a DDPG with popularity among the numbers of a film, gamma .9, tau .005, actor_lr 1e-4
    "gamma 0": dict(gamma=0.),
    "gamma 0.99": dict(gamma=.99),
    "500 steps of pre-training": dict(pretrain=500),
    "tau 0.05": dict(tau=.05),
    "target within 50": dict(target_clip=50.),
    "actor_lr 1e-5": dict(actor_lr=1e-5),
    "actor_lr 1e-3": dict(actor_lr=1e-3),
    "vectors without popularity": dict(vectors="histories"),
    "vectors from texts": dict(vectors="texts"),
    "64 numbers, 256 units": dict(vectors="wide", hidden=256),
}
CHANGES = [dict(twin=t, smoothing=s, delay=d) for t, s, d in itertools.product((False, True), repeat=3)]


def film_vectors(ratings, movies, learners):
    "Vectors by name, all of the films that training users rated, each scaled to a mean variance of 1."
    def histories(dim, popularity):
        ids, x = collaborative_vectors(ratings, learners, dim, popularity=popularity)
        return ids, x / np.sqrt(x.var(0).mean())
    ids, popular = histories(32, .1)
    films = movies[movies.item_id.isin(ids)]
    texts = embed_movies(films, dim=32)
    made = dict(popular=popular, histories=histories(32, 0.)[1], wide=histories(64, .1)[1])
    return {n: ItemEmbeddings(ids, torch.tensor(x, dtype=torch.float32), texts.titles) for n, x in made.items()} | dict(texts=texts)


def spread(x): return mean_distance(torch.nn.functional.normalize(x, dim=1))


class Look:
    "What an agent does on held-out users, and what its critic says of it."
    def __init__(self, part, often):
        self.part, self.queries, self.films, self.often = part, last_out(part), part.embeddings, often
        self.real = self.films.matrix[self.queries.target]

    def reference(self):
        others = similarity(self.real, self.films.matrix, "euclidean").scatter(1, self.queries.target[:, None], -torch.inf)
        d = diversity(self.queries.target[:, None])
        return dict(users=len(self.queries), films=len(self.films), asked=len(self.often), distinct=d["distinct_1"], share=d["top_share"],
                    entropy=d["entropy"], length=self.real.norm(dim=1).mean().item(), nearest=-others.amax(1).mean().item())

    def __call__(self, agent):
        actions = agent.act(self.queries.state)
        ranked = recommend_all(AgentScorer(agent, self.films), self.queries)
        d, v = diversity(ranked), q_and_return(agent, self.part)
        row = dict(update=agent.n_updates, distinct=d["distinct_1"], share=d["top_share"], entropy=d["entropy"], ndcg=ndcg(ranked, self.queries.target).mean().item(),
                   length=actions.norm(dim=1).mean().item(), nearest=-similarity(actions, self.films.matrix, "euclidean").amax(1).mean().item(),
                   spread=spread(actions) / spread(self.real), q_own=v["q_policy"].mean(), q_logged=v["q_logged"].mean(),
                   returns=v["returns"].mean(), correlation=np.corrcoef(v["q_logged"], v["returns"])[0, 1])
        return row | (self.best_by_q(agent) if agent.n_updates % 1000 == 0 else {})

    @torch.no_grad()
    def best_by_q(self, agent):
        "How varied the films are that the critic itself would choose among the most rated: no actor takes part."
        films = self.often
        chosen = [films[agent.critic.first(s.expand(len(films), -1, -1), self.films.matrix[films]).argmax()] for s in self.queries.state]
        d = diversity(torch.stack(chosen)[:, None])
        return dict(critic_distinct=d["distinct_1"], critic_share=d["top_share"])


def train(cls, seed, learn, look, updates, hidden=128, **settings):
    "Rows of `look` every 100 updates; a run whose numbers overflow ends there."
    agent, rows = cls(cls.config_class(embed_dim=learn.embeddings.dim, hidden=hidden, **settings), seed), []
    def watch(agent): rows.append(look(agent)); return {}
    try: fit(agent, learn, updates, seed, evaluate=watch, evaluate_every=100)
    except FloatingPointError: print("numbers overflow at update", agent.n_updates)
    return rows


def end(rows):
    "The last row by update 1,000, and whether one film went to over half of the users while Q stood beyond 100 times the return."
    rows = [r for r in rows if r["update"] <= 1000]
    return dict(collapsed=any(r["share"] > .5 and r["q_own"] > 100 * r["returns"] for r in rows)) | rows[-1]


def thin(rows): return [r for r in rows if r["update"] % 500 == 0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="100 updates a run; writes nothing")
    args = parser.parse_args()
    ratings, movies = load_sample()
    users = split_users(ratings.user_id)
    vectors = film_vectors(ratings, movies, users.train)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.hdf5"
        build_dataset(ratings[ratings.item_id.isin(vectors["popular"].ids)], path, split=users)
        sets = {n: TransitionDataset(path, films) for n, films in vectors.items()}
        learn = {n: s.part("train") for n, s in sets.items()}
        often = PopularityScorer(learn["popular"]).count.topk(1000).indices
        look = {n: Look(s.part("valid"), often) for n, s in sets.items()}
        tidy = lambda row: {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}
        out = dict(machine=machine(), commit=commit(), users=tidy(look["popular"].reference()), bounds=[], conditions=[], switches=[])
        def add(part, names, rows):
            out[part] += [tidy(names | r) for r in rows]; print(part, out[part][-1], flush=True)
            text = ",\n".join(f"{json.dumps(k)}: " + ("[\n" + ",\n".join(map(json.dumps, v)) + "\n]" if isinstance(v, list) else json.dumps(v)) for k, v in out.items())
            if not args.quick: (RESULTS / "collapse.json").write_text("{" + text + "}\n")
        def run(cls, seed, updates, vectors="popular", **settings):
            return train(cls, seed, learn[vectors], look[vectors], 100 if args.quick else updates, **settings)
        for seed in range(args.seeds):
            for cls, (bound, updates) in itertools.product((DDPG, TD3), BOUNDS.items()):
                rows, name = run(cls, seed, updates, bound=bound), cls.__name__
                add("bounds", dict(agent=name, bound=bound, seed=seed), rows)
                add("conditions", dict(condition="as it is" if cls is DDPG else name, bound=bound, seed=seed), [end(rows)])
                if bound == "tanh": add("switches", CHANGES[0 if cls is DDPG else -1] | dict(tau=.005, seed=seed), thin(rows) or rows)
            for (condition, settings), bound in itertools.product(CONDITIONS.items(), BOUNDS):
                add("conditions", dict(condition=condition, bound=bound, seed=seed), [end(run(DDPG, seed, 1000, bound=bound, **settings))])
            for change, tau in [(c, .005) for c in CHANGES[1:-1]] + [(CHANGES[0], .0025)]:  # the last: targets as slow as under a delay, without one
                rows = run(TD3, seed, BOUNDS["tanh"], bound="tanh", tau=tau, twin=change["twin"], policy_noise=.2 * change["smoothing"], policy_delay=1 + change["delay"])
                add("switches", change | dict(tau=tau, seed=seed), thin(rows) or rows)


if __name__ == "__main__": main()
