"""When DDPG collapses on real ratings, when its values diverge, and which of TD3's three changes does what.

    python bench/collapse.py [--seeds 3] [--quick]

Agents learn from the training users of the bundled sample and are measured on validation users; item vectors
come from the histories of training users. There are three parts: `bounds`, DDPG and TD3 under each bound of
the action over training; `conditions`, one setting changed at a time; `switches`, the eight combinations of
TD3's changes with the tanh of its paper.

Writes bench/results/collapse.json after each run, one seed after the other, so that a run that is stopped
leaves what it has.
"""
import itertools
import os

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np
import torch
import torch.nn.functional as F

from logs import restrict
from record import as_json, command_line, commit, machine, write
from recnn.agents.ddpg import DDPG
from recnn.agents.fit import fit
from recnn.agents.td3 import TD3
from recnn.data.log import load_sample
from recnn.data.windows import Dataset
from recnn.evaluation.baselines import Popularity
from recnn.evaluation.metrics import diversity, _mean_distance, ndcg
from recnn.evaluation.queries import last_out
from recnn.evaluation.ranking import rank_items
from recnn.evaluation.values import q_and_return
from recnn.items.histories import collaborative_vectors
from recnn.items.text import embed_texts
from recnn.vectors import ItemVectors, similarity

BOUNDS = dict(none=1000, tanh=2000, sphere=2000)  # updates; without a bound, numbers soon overflow
CONDITIONS = {  # one change each to a DDPG with a column of popularity, gamma .9, tau .005, actor_lr 1e-4
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


def open_sets():
    "The sample with the items alone that have a vector of histories, with each kind of vectors."
    log = load_sample()
    train = log.part("train")

    def histories(dim, popularity):
        index, x = collaborative_vectors(train, dim, popularity=popularity)
        return index, torch.tensor(x / np.sqrt(x.var(0).mean()), dtype=torch.float32)
    index, popular = histories(32, .1)
    made = dict(popular=popular, histories=histories(32, 0.)[1], wide=histories(64, .1)[1])
    log = restrict(log, np.isin(np.arange(log.n_items), index))
    made["texts"] = embed_texts(log.part("train"), 32).matrix
    return {n: Dataset(log, ItemVectors(log.item_ids, x, log.titles)) for n, x in made.items()}


def spread(x): return _mean_distance(F.normalize(x, dim=1))


class Look:
    "Measures what an agent does on held-out users, and what its critic says of it."
    def __init__(self, part, often):
        self.part, self.queries, self.matrix, self.often = part, last_out(part), part.matrix, often
        self.real = self.matrix[self.queries.target]

    def nearest(self, points, without=None):
        "Mean distance of points to the nearest item."
        s = similarity(points, self.matrix, "euclidean")
        if without is not None: s = s.scatter(1, without[:, None], -torch.inf)
        return -s.amax(1).mean().item()

    def reference(self):
        "The same figures of the items that users really chose."
        d = diversity(self.queries.target[:, None])
        return dict(users=len(self.queries), items=len(self.matrix), asked=len(self.often),
                    distinct=d["distinct_1"], share=d["top_share"], entropy=d["entropy"],
                    length=self.real.norm(dim=1).mean().item(),
                    nearest=self.nearest(self.real, self.queries.target))

    def __call__(self, agent):
        actions, ranked = agent.points(self.queries), rank_items(agent, self.queries)
        d, v = diversity(ranked), q_and_return(agent, self.part)
        row = dict(update=agent.n_updates, distinct=d["distinct_1"], share=d["top_share"],
                   entropy=d["entropy"], ndcg=ndcg(ranked, self.queries.target).mean().item(),
                   length=actions.norm(dim=1).mean().item(), nearest=self.nearest(actions),
                   spread=spread(actions) / spread(self.real), q_own=v["q_policy"].mean(),
                   q_logged=v["q_logged"].mean(), returns=v["returns"].mean(),
                   correlation=np.corrcoef(v["q_logged"], v["returns"])[0, 1])
        return row | (self.best_by_q(agent) if agent.n_updates % 1000 == 0 else {})

    @torch.no_grad()
    def best_by_q(self, agent):
        "Variety of the items that the critic itself would choose among the most rated, without an actor."
        items, q = self.often, agent.critic.first
        states = agent.state(self.queries.items, self.queries.rewards)
        chosen = [items[q(s.expand(len(items), -1, -1), self.matrix[items]).argmax()] for s in states]
        d = diversity(torch.stack(chosen)[:, None])
        return dict(critic_distinct=d["distinct_1"], critic_share=d["top_share"])


def train(cls, seed, learn, look, updates, hidden=128, **settings):
    "Rows of `look` every 100 updates; a run whose numbers overflow ends there."
    config = cls.config_class(embed_dim=learn.vectors.dim, hidden=hidden, **settings)
    agent, rows = cls(config, seed), []

    def watch(agent):
        rows.append(look(agent))
        return {}
    try: fit(agent, learn, updates, seed, evaluate=watch, evaluate_every=100)
    except FloatingPointError: print("numbers overflow at update", agent.n_updates)
    return rows


def end(rows):
    "The last row by update 1,000, and whether the run collapsed by then."
    rows = [r for r in rows if r["update"] <= 1000]
    collapsed = any(r["share"] > .5 and r["q_own"] > 100 * r["returns"] for r in rows)
    return dict(collapsed=collapsed) | rows[-1]


def thin(rows): return [r for r in rows if r["update"] % 500 == 0] or rows


def tidy(row): return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}


class Benchmark:
    "Data, and the rows of the three parts."
    def __init__(self, quick):
        sets = open_sets()
        self.learn = {n: s.part("train") for n, s in sets.items()}
        often = Popularity(self.learn["popular"]).count.topk(1000).indices
        self.look = {n: Look(s.part("valid"), often) for n, s in sets.items()}
        users = tidy(self.look["popular"].reference())
        self.quick, self.head = quick, dict(machine=machine(), commit=commit(), users=users)
        self.parts = dict(bounds=[], conditions=[], switches=[])

    def add(self, part, names, rows):
        "Add rows to a part, print the last and write the file."
        self.parts[part] += [tidy(names | r) for r in rows]
        print(part, self.parts[part][-1], flush=True)
        if not self.quick: write("collapse", as_json(self.head, self.parts))

    def run(self, cls, seed, updates, vectors="popular", **settings):
        "Rows of one run."
        updates = 100 if self.quick else updates
        return train(cls, seed, self.learn[vectors], self.look[vectors], updates, **settings)

    def run_bounds(self, seed):
        for cls, (bound, updates) in itertools.product((DDPG, TD3), BOUNDS.items()):
            rows, name = self.run(cls, seed, updates, bound=bound), cls.__name__
            condition = "as it is" if cls is DDPG else name
            self.add("bounds", dict(agent=name, bound=bound, seed=seed), rows)
            self.add("conditions", dict(condition=condition, bound=bound, seed=seed), [end(rows)])
            if bound != "tanh": continue
            change = CHANGES[0 if cls is DDPG else -1]
            self.add("switches", change | dict(tau=.005, seed=seed), thin(rows))

    def run_conditions(self, seed):
        for (condition, settings), bound in itertools.product(CONDITIONS.items(), BOUNDS):
            rows = self.run(DDPG, seed, 1000, bound=bound, **settings)
            self.add("conditions", dict(condition=condition, bound=bound, seed=seed), [end(rows)])

    def run_switches(self, seed):
        half = (CHANGES[0], .0025)  # targets as slow as under a delay, without one
        for change, tau in [*((c, .005) for c in CHANGES[1:-1]), half]:
            noise, delay = .2 * change["smoothing"], 1 + change["delay"]
            rows = self.run(TD3, seed, BOUNDS["tanh"], bound="tanh", tau=tau, twin=change["twin"],
                            policy_noise=noise, policy_delay=delay)
            self.add("switches", change | dict(tau=tau, seed=seed), thin(rows))


def main():
    parser = command_line(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="100 updates a run; writes nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bench = Benchmark(args.quick)
    for seed in range(args.seeds):
        bench.run_bounds(seed)
        bench.run_conditions(seed)
        bench.run_switches(seed)


if __name__ == "__main__": main()
