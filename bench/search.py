"""Approximate search for the best items of large catalogues, against the exact way.

    python bench/search.py [--items 1000000] [--updates 200]

The default agent's score of an item is an inner product of 129 numbers of the state and of the item: the
proto-action with the item's tuned vector (64), the personal taste with its given vector (64), and 1 with its
bias. The first 64 and the bias are `policy`, all of them `default`. The agent is trained on the bundled
sample, on vectors from histories. Its items are expanded to `--items`: a new one lies between a real item and
one of its ten nearest, plus Gaussian noise as long as the real item's distance to the nearest. Asked are
states of held-out users at random times, without noise; states of training users are only used to turn.

An index does not hold these vectors as they are. *Reduced*: a further number makes all lengths equal, so that
the largest inner product is the nearest neighbour (Bachrach et al. 2014). *Turned*: before that, they are
expressed in the principal axes of the states, each scaled by the root mean square of the states along it, so
that the axes along which states hardly differ can be dropped. The
candidates, 100 and as many as a user has seen, are scored exactly and the seen are hidden; `recall_10` is the
fraction of the exact best ten of each user that are found, and `recall_100` that of the best hundred among
300 candidates. Queries/s are of one thread, by the time that it worked, with exact scores and the mask;
`times_exact` divides them by those of `top_k` on all scores, measured just before.

HNSW, which takes a minute for 100,000 items, is built of a tenth of the items. `training` has the default
agent's time for an update, of 8 pieces, and its largest memory, by the size of the catalogue: with item
vectors that are tuned, as by default, and with `vectors='given'`.

Writes bench/results/search.json. Needs faiss-cpu and usearch.
"""
import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import faiss
import numpy as np
import pandas as pd
import torch

import recnn
from recnn.app.models import find_model
from recnn.data.log import make_log
from recnn.data.planted import large_ratings
from recnn.data.tables import check_ratings
from recnn.evaluation.queries import _seen, _states
from recnn.items.histories import collaborative_vectors
from recnn.vectors import ItemVectors, top_k
from record import as_json, command_line, commit, machine, rounded, write

DIM, NEAR, MORE, ASKED = 64, 10, {10: 100, 100: 300}, 300
SHOWN = "items", "what", "library", "kind", "index_dim", "setting", "times_exact", "recall_10", "recall_100"
PROBES, EXPANSIONS = (16, 32, 64, 128), (128, 512)


def cpu_seconds(f):
    "What a function returns, and the time that it worked."
    start = time.process_time()
    return f(), time.process_time() - start


def train(updates):
    "The default agent of the sample's items that training users rated, and the log of these items."
    log = recnn.load_sample()
    rated = np.unique(log.part("train").item)
    log = log.select(np.isin(log.item, rated))
    log = make_log(log.ratings(), log.items.iloc[rated], "stars").split_users()
    index, found = collaborative_vectors(log.part("train"), DIM - 1, popularity=1 / DIM)
    matrix = torch.zeros(log.n_items, DIM)
    matrix[index] = torch.tensor(found / np.sqrt(found.var(0).mean()))
    return recnn.fit("default", log, ItemVectors(log.item_ids, matrix, log.titles), updates=updates), log


def states(model, log, part, times, rng):
    "States [Q,129] of users of a part of a log at random times, and the items that they have seen."
    agent, users = model.model, np.repeat(log.users(part), times)
    begin, n = log.bounds[users], np.diff(log.bounds)[users]
    end = begin + rng.integers(1, n + 1)
    history = agent.state(*_states(log, end, model.frame_size, begin))
    taste = agent.config.taste / agent.actor.encoder.scale[1] * agent.likes.solve(*history)[1]
    return torch.cat([agent.act(history), taste, torch.ones(len(end), 1)], 1), _seen(log, begin, end)


def item_vectors(model):
    "Vectors [N,129] whose inner products with states are the agent's scores."
    agent, c = model.model, model.model.config
    with torch.no_grad():
        bias = agent.actor.bias + c.means / agent.actor.encoder.scale[1] * agent.likes.mean
        return torch.cat([agent.actor.encoder.items, agent.likes.vectors, bias[:, None]], 1)


def expand(x, n, rng):
    "Real items [N,D] and others [n,D]."
    blocks = [torch.cdist(b, x).topk(NEAR + 1, largest=False) for b in x.split(512)]
    distance, near = (torch.cat(parts)[:, 1:].numpy() for parts in zip(*blocks))
    out = np.empty((n, x.shape[1]), "float32")
    x = out[:len(x)] = x.numpy()
    for a in range(len(x), n, 100_000):
        first = rng.integers(len(x), size=min(100_000, n - a))
        other = near[first, rng.integers(NEAR, size=len(first))]
        noise = rng.standard_normal((len(first), x.shape[1]), "float32") / np.float32(x.shape[1] ** .5)
        along = rng.random((len(first), 1), "float32")
        out[a:a + len(first)] = x[first] + along * (x[other] - x[first]) + distance[first, :1] * noise
    return torch.from_numpy(out)


class Space:
    "How items and states are expressed in an index; `dim` counts the number that makes lengths equal."
    def __init__(self, items, known, dim=None, turned=True, reduced=True):
        values, axes = torch.linalg.eigh(known.T @ known / len(known))
        keep = slice(None) if dim is None else slice(len(values) - dim + reduced, None)
        scale = values.clamp(min=1e-9).sqrt()
        turn, back = (axes * scale)[:, keep], (axes / scale)[:, keep]
        if not turned: turn = back = torch.eye(len(values))
        self.items, self.back, self.reduced = items @ turn, back, reduced
        if reduced:
            length = self.items.norm(dim=1)
            longest = length.max()
            rest = (longest ** 2 - length ** 2).clamp(min=0).sqrt()
            self.items = torch.cat([self.items, rest[:, None]], 1).div_(longest)
        self.items = self.padded(self.items)

    def padded(self, x): return torch.nn.functional.pad(x, (0, -x.shape[1] % 8)).numpy()  # faster

    def states(self, x):
        x = x @ self.back
        if not self.reduced: return self.padded(x)
        return self.padded(torch.cat([x / x.norm(dim=1, keepdim=True), torch.zeros(len(x), 1)], 1))


class Ivf:
    "An inverted file of faiss: items in lists around centroids, of which the nearest are looked at."
    library, settings = "faiss", PROBES
    def __init__(self, x, kind, reduced):
        n, d = x.shape
        metric = faiss.METRIC_L2 if reduced else faiss.METRIC_INNER_PRODUCT
        lists = int(2 * n ** .5)
        self.index = faiss.index_factory(d, f"IVF{lists},{kind}", metric)
        self.index.cp.niter, self.index.cp.max_points_per_centroid = 8, 50
        self.index.train(x[np.random.default_rng(0).permutation(n)[:50 * lists]])
        self.index.add(x)
        self.bytes = len(faiss.serialize_index(self.index))
    def set(self, n): self.index.nprobe = n
    def search(self, x, k): return self.index.search(x, k)[1]


class Hnsw:
    "A graph of usearch, which is walked towards the nearest items."
    library, settings = "usearch", EXPANSIONS
    def __init__(self, x, kind, reduced):
        from usearch.index import Index
        self.index = Index(ndim=x.shape[1], metric="cos" if reduced else "ip", dtype=kind)
        self.index.add(np.arange(len(x)), x, threads=1)
        self.bytes = self.index.serialized_length
    def set(self, n): self.index.expansion_search = n
    def search(self, x, k): return self.index.search(x, k, threads=1).keys.astype("int64")


def exact(items, asked, seen, k):
    "The best `k` items of each state, as `recommend` finds them."
    size = max(1, (1 << 24) // len(items))
    blocks = range(0, len(asked), size)
    return torch.cat([top_k(asked[a:a + size] @ items.T, k, seen[a:a + size]) for a in blocks]).numpy()


def approximate(index, space, items, asked, seen, k):
    "The best `k` of the candidates of an index by exact scores, without seen items; -1 where none is left."
    out, n = np.full((len(asked), k), -1), np.array([len(s) for s in seen])
    mask = np.zeros(len(items), bool)
    for rows in np.array_split(np.argsort(n), -(-len(n) // 16)): # users who have seen about as many
        most = min(MORE[k] + int(n[rows].max()), len(items))
        found = index.search(space.states(asked[rows]), most)
        scores = torch.einsum("qmd,qd->qm", items[torch.from_numpy(found)], asked[rows])
        hidden = found < 0
        for f, h, i in zip(found, hidden, rows):
            mask[seen[i]] = True
            h |= mask[f]
            mask[seen[i]] = False
        scores[torch.from_numpy(hidden)] = -torch.inf
        best = scores.topk(k)
        chosen = np.take_along_axis(found, best.indices.numpy(), 1)
        out[rows] = np.where(best.values.numpy() > -np.inf, chosen, -1)
    return out


def recall(found, truth):
    "Fraction of the true best items that are found."
    return float(np.mean([np.isin(t, f).mean() for f, t in zip(found, truth)]))


def measure(cls, kind, space, items, asked, seen, truth, **about):
    "Rows of an index, one a setting."
    index, build = cpu_seconds(lambda: cls(space.items, kind, space.reduced))
    size = len(items) / 1e3
    about |= dict(items=len(items), library=cls.library, kind=kind, index_dim=space.items.shape[1],
                  build_s=build, bytes_an_item=index.bytes / size / 1e3)
    for n in cls.settings:
        index.set(n)
        few = slice(0, max(16, min(len(asked), int(5e7 / len(items)))))
        _, all_s = cpu_seconds(lambda: exact(items, asked[few], seen[few], 10))
        rate = len(asked[few]) / all_s
        found, seconds = cpu_seconds(lambda: approximate(index, space, items, asked, seen, 10))
        more = approximate(index, space, items, asked, seen, 100)
        row = about | dict(setting=n, queries_s=len(asked) / seconds, exact_queries_s=rate,
                           times_exact=len(asked) / seconds / rate, recall_10=recall(found, truth[:, :10]),
                           recall_100=recall(more, truth))
        yield rounded(row, 3)


WAYS = (  # what is scored, index, numbers as, dimension, turned, reduced; 0: real items, 1: a tenth, 2: all
    ("default", Ivf, "SQfp16", None, False, False, (2,)),
    ("default", Ivf, "SQfp16", None, False, True, (0, 1, 2)),
    ("default", Ivf, "SQ8", None, False, True, (2,)),
    ("default", Ivf, "SQfp16", 64, True, True, (2,)),
    ("policy", Ivf, "SQfp16", None, False, True, (2,)),
    ("default", Hnsw, "f16", None, False, False, (1,)),
    ("default", Hnsw, "f16", None, False, True, (0, 1)),
    ("default", Hnsw, "i8", None, False, True, (1,)),
)


def compare(catalogue, known, asked, seen, stage):
    "Rows of all ways on one catalogue."
    for what in ("default", "policy"):
        if what not in (w[0] for w in WAYS if stage in w[-1]): continue
        columns = slice(None) if what == "default" else [*range(DIM), -1]
        items, of, q = (x[:, columns].contiguous() for x in (catalogue, known, asked))
        truth = exact(items, q, seen, 100)
        for name, cls, kind, dim, turned, reduced, stages in WAYS:
            if name != what or stage not in stages: continue
            space = Space(items, of, dim, turned, reduced)
            yield from measure(cls, kind, space, items, q, seen, truth,
                               what=what, dim=items.shape[1], turned=turned, reduced=reduced)


def train_on(n_items):
    "Time of an update of the default agent on a catalogue, and the largest memory of the process."
    ids = np.arange(5 * (n_items // 5)) + 1 # ids of a fifth of the items are drawn from all of them
    items = pd.DataFrame(dict(item_id=ids, title=[f"item {i}" for i in ids]))
    log = make_log(check_ratings(large_ratings(700, len(ids) // 5, 100_000)), items, "stars").split_users()
    matrix = torch.randn(len(ids), DIM, generator=torch.Generator().manual_seed(0))
    vectors = ItemVectors(log.item_ids, matrix, log.titles)
    data, figures = recnn.Dataset(log.part("train"), vectors, 50, pad=True), dict(items=len(ids))
    for kind, name in (("given", "given_"), ("tuned", "")):  # that needs more memory than this
        times = []
        agent = find_model("default").learn(data, updates=12, vectors=kind, n_sampled=512,
                                            fit_options=dict(log_every=2),
                                            callback=lambda row: times.append(time.process_time()))
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e6
        figures |= {f"{name}update_cpu_s": (times[-1] - times[0]) / 10, f"{name}peak_gb": peak}
    sizes = [len(b.item) for b in itertools.islice(agent.batches(data, 0, 0), 10)]
    print(json.dumps(figures | dict(ratings_an_update=float(np.mean(sizes)))))


def in_process(n_items):
    "What training on a catalogue costs, in a process whose memory is its own."
    command = [sys.executable, __file__, "--train-on", str(n_items)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return rounded(json.loads(said.splitlines()[-1]), 3)


def main():
    parser = command_line(__doc__)
    parser.add_argument("--items", type=int, default=1_000_000, help="items of the expanded catalogue")
    parser.add_argument("--updates", type=int, default=200, help="updates of the agent")
    parser.add_argument("--train-on", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    if args.train_on: return train_on(args.train_on)
    rng, (model, log) = np.random.default_rng(0), train(args.updates)
    known, _ = states(model, log, "train", 5, rng)
    asked, seen = states(model, log, "test", -(-ASKED // len(log.users("test"))), rng)
    real, rows = item_vectors(model), []
    for stage, n in enumerate((len(real), args.items // 10, args.items)):
        catalogue = expand(real, n, rng) if n > len(real) else real
        for row in compare(catalogue, known, asked, seen, stage):
            rows.append(row)
            print(*(row[c] for c in SHOWN), flush=True)
    training = [in_process(n) for n in (10_000, 100_000, 1_000_000) if n <= args.items]
    head = dict(machine=machine(), commit=commit(), items=args.items, asked=len(asked), threads=1,
                load=round(os.getloadavg()[0], 1), versions=dict(faiss=faiss.__version__))
    print(write("search", as_json(head, dict(rows=rows, training=training))))


if __name__ == "__main__": main()
