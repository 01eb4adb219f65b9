"""How DDPG collapses on real ratings, and which of TD3's three changes does what.

    python bench/collapse.py

On the bundled sample, all films, vectors as in agents_quality.py; the agents learn from the training users and are watched on
the validation users. First DDPG under each bound of its actions, and with a critic that starts from
returns, measured every 100 updates; then the eight combinations of
TD3's changes under the bound of its paper. Writes bench/results/collapse.json.
"""
import argparse, itertools, json, os, sys, tempfile
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import numpy as np
import torch

from agents_quality import held_out, open_log, open_sets
from recnn.ddpg import DDPG, DDPGConfig
from recnn.embeddings import similarity
from recnn.evaluation import AgentScorer, diversity, last_out, ndcg, q_and_return, recommend_all
from recnn.td3 import TD3, TD3Config
from recnn.training import fit
from record import RESULTS, commit, machine

torch.set_num_threads(1)


class Look:
    "What the agent does on some users, and what its critic says of it."
    def __init__(self, part): self.part, self.queries, self.films = part, last_out(part), part.embeddings
    def __call__(self, agent):
        actions = agent.act(self.queries.state)
        ranked = recommend_all(AgentScorer(agent, self.films, agent.kind), self.queries)
        d, v = diversity(ranked), q_and_return(agent, self.part)
        return dict(distinct=d["distinct_1"], share=d["top_share"], entropy=d["entropy"], ndcg=ndcg(ranked, self.queries.target).mean().item(),
                    length=actions.norm(dim=1).mean().item(), nearest=-similarity(actions, self.films.matrix, "euclidean").amax(1).mean().item(),
                    q_own=v["q_policy"].mean(), q_logged=v["q_logged"].mean(), returns=v["returns"].mean(), correlation=np.corrcoef(v["q_logged"], v["returns"])[0, 1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3); parser.add_argument("--updates", type=int, default=1500)
    args = parser.parse_args()
    ratings, ids, titles = open_log("sample")
    with tempfile.TemporaryDirectory() as folder:
        learn, ask = open_sets(*held_out(ratings, "valid"), ids, titles, Path(folder), {})
        look, films = Look(ask), learn.embeddings
        shape = dict(embed_dim=films.dim)
        used = films.matrix[look.queries.target]
        others = similarity(used, films.matrix, "euclidean").scatter(1, look.queries.target[:, None], -torch.inf)
        real = dict(users=len(look.queries), length=used.norm(dim=1).mean().item(), nearest=-others.amax(1).mean().item(), distinct=len(look.queries.target.unique()))
        rounded = lambda row: {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()}
        out = dict(machine=machine(), commit=commit(), real=rounded(real), bounds=[], switches=[])
        variants = dict(none=dict(bound="none"), tanh=dict(bound="tanh"), sphere=dict(bound="sphere"), **{"sphere, pre-trained": dict(bound="sphere", pretrain=500)})
        for (bound, settings), seed in itertools.product(variants.items(), range(args.seeds)):
            log = fit(DDPG(DDPGConfig(**shape, **settings), seed), learn, args.updates, seed, evaluate=look, evaluate_every=100)
            out["bounds"] += [dict(bound=bound, seed=seed) | rounded(r) for r in log if "distinct" in r]
            print(out["bounds"][-1], flush=True)
        for twin, noise, delay, seed in itertools.product((False, True), (0., .2), (1, 2), range(args.seeds)):
            agent = TD3(TD3Config(**shape, bound="tanh", twin=twin, policy_noise=noise, policy_delay=delay), seed)
            fit(agent, learn, args.updates, seed)
            out["switches"].append(dict(twin=twin, smoothing=noise > 0, delay=delay > 1, seed=seed) | rounded(look(agent)))
            print(out["switches"][-1], flush=True)
        lines = lambda rows: "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]"
        (RESULTS / "collapse.json").write_text("{" + ",\n".join(f"{json.dumps(k)}: {lines(v) if isinstance(v, list) else json.dumps(v)}" for k, v in out.items()) + "}\n")


if __name__ == "__main__": main()
