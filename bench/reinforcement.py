"""Does reinforcement learning help? One network with and without rewards, and people's last ten items.

    python bench/reinforcement.py                                   the bundled sample
    python bench/reinforcement.py --data FOLDER --out reinforcement-NAME
    python bench/reinforcement.py --arms twin weights --part valid    to choose

Everybody's last ten ratings are held out; the networks and the item vectors learn from the rest, and the
table compares each arm with the twin, the same network without rewards, seed by seed, with 95 % intervals
over people and seeds. Nothing is chosen on the part that is reported.

With --out, writes bench/results/<out>.json after each row: the figures of each arm and seed, and the
comparison of each arm with the twin.
"""
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import torch

from agents_quality import item_vectors
from logs import open_log
from record import RESULTS, Table, as_json, command_line, commit, machine, rounded, write
from recnn.agents.bc import BehaviourCloning
from recnn.agents.iql import IQL
from recnn.agents.reward_weighted import RewardWeighted
from recnn.data.windows import Dataset
from recnn.evaluation.queries import leave_last_n
from recnn.evaluation.ranking import Reranked
from recnn.evaluation.satisfaction import ItemMeans, Satisfaction, compare_satisfaction
from recnn.evaluation.statistics import paired_difference


class Standardised(IQL, abstract=True):
    "IQL whose advantages have a standard deviation of 1 in each batch, so that discounts can be compared."
    def advantage(self, batch):
        a = super().advantage(batch)
        return a / a.std().clamp(min=1e-6)


DEFAULTS = dict(taste=RewardWeighted.config_class.taste, means=RewardWeighted.config_class.means)


def arms(learn, names, seed, critic):
    "Yield arm, model and training seconds; a network is trained once for all arms that read it."
    def train(cls, **settings):
        start = time.process_time()
        agent = cls.learn(learn, seed=seed, **settings)
        return agent, time.process_time() - start
    wanted = lambda *some: not names or any(s in names for s in some)
    if wanted("twin", "taste", "item means", "twin, Q re-ranks"):
        twin, seconds = train(BehaviourCloning, critic=critic)
        yield "twin", twin, seconds
        if critic != "none": yield "twin, Q re-ranks", Reranked(twin), seconds
        twin.config = replace(twin.config, means=DEFAULTS["means"])
        yield "item means", twin, seconds
        twin.config = replace(twin.config, means=0., taste=DEFAULTS["taste"])
        yield "taste", twin, seconds
    if wanted("weights", "default"):
        agent, seconds = train(RewardWeighted, taste=0., means=0., critic=critic)
        yield "weights", agent, seconds
        agent.config = replace(agent.config, **DEFAULTS)
        yield "default", agent, seconds
    for gamma in (0., .5, .9, .99):
        name = f"IQL, gamma {gamma:g}"
        if names and name not in names: continue
        agent, seconds = train(Standardised, gamma=gamma, beta=.6, max_weight=float("inf"))
        yield name, agent, seconds


def pairs(learn, judge):
    "Pairs that predicted rewards order right, against the items' means: both, difference and interval."
    agent = RewardWeighted(RewardWeighted.config_class(embed_dim=learn.vectors.dim))
    agent.prepare(learn)  # taste is not trained
    found = [judge(m, sensitive=False).weighted()["pairs predicted"] for m in (agent, ItemMeans(learn))]
    return {k: float(v) for k, v in paired_difference(*(x.to_numpy() for x in found)).items()}


def pairs_of_arms(found):
    "What is compared: each arm with the twin, the default with its parts, discounts with none."
    pairs = [(name, "twin") for name in found if name != "twin"]
    pairs += [("default", part) for part in ("item means", "weights", "taste")]
    pairs += [(name, "IQL, gamma 0") for name in found if name.startswith("IQL") and name != "IQL, gamma 0"]
    return [(a, b) for a, b in pairs if a in found and b in found]


def against(judged, others, **head):
    "Rows of what was judged, seed by seed, against others of the same seeds, a row a figure."
    table = compare_satisfaction(judged, others)
    return [rounded(head | dict(figure=f) | {k: float(v) for k, v in r.items()}) for f, r in table.iterrows()]


def comparison(found, name, other):
    "Rows of an arm against another, over the seeds that both have."
    n = min(len(found[name]), len(found[other]))
    return against(found[name][:n], found[other][:n], arm=name, other=other)


def main():
    parser = command_line(__doc__)
    parser.add_argument("--data", default="sample", help="'sample' or a folder of MovieLens")
    parser.add_argument("--part", choices=["valid", "test"], default="test")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--critic-seeds", type=int, default=1,
                        help="seeds with a critic: of the discounts, and of re-ranking by Q")
    parser.add_argument("--arms", nargs="*", default=[], help="names of arms; all when absent")
    parser.add_argument("--cache", help="file that keeps the vectors of texts")
    parser.add_argument("--out", help="name below bench/results to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    protocol = leave_last_n(open_log(args.data), 10)
    protocol = protocol.with_valid() if args.part == "test" else protocol
    with tempfile.TemporaryDirectory() as folder:
        vectors = item_vectors(protocol.train, args.cache or Path(folder) / "texts.db")
    learn = Dataset(protocol.train, vectors, 50, pad=True)
    judge, found, compared = Satisfaction(protocol, args.part, 50), {}, []
    about = dict(data=Path(args.data).name, part=args.part, protocol=judge.queries.about,
                 pairs=rounded(pairs(learn, judge)))
    table = Table(None, ("arm", "seed"))
    rows = []
    for seed in args.seeds:
        first = args.seeds.index(seed) < args.critic_seeds
        names = args.arms if first else args.arms or ["twin", "weights"]
        for name, model, seconds in arms(learn, names, seed, "own" if first else "none"):
            satisfied = judge(model)
            found.setdefault(name, []).append(satisfied)
            rows.append(rounded(dict(arm=name, seed=seed, seconds=round(seconds, 1), commit=commit())
                                | {k: float(v) for k, v in satisfied.row().items()}))
            table.add(rows[-1])
        compared = [row for pair in pairs_of_arms(found) for row in comparison(found, *pair)]
        if args.out:
            write(args.out, as_json(dict(machine=machine()) | about, dict(rows=rows, compared=compared)))
    print(*compared, sep="\n")
    if args.out: print(RESULTS / f"{args.out}.json")


if __name__ == "__main__": main()
