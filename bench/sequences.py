"""How fast whole histories are gathered and trained on, beside RecTools' transformer.

    python bench/sequences.py                              gathering, and training on the sample's histories
    python bench/sequences.py --rectools ENV/bin/python    RecTools too, from an environment of its own

Gathering: batches of a log of ML-20M's shape, in ratings per second, beside the copying of as many numbers.
Training: the same pieces of 50 steps, width 64, two blocks of four heads, a softmax over all items, batches
of 128 pieces, no critic, in trained positions (tokens) per second. To RecTools each piece is a user. Medians
of rounds in which both run one after the other.

Writes bench/results/sequences.json.
"""
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np
import pandas as pd
import torch

from logs import rated_only
from record import command_line, record
from recnn.agents.bc import BehaviourCloning
from recnn.data import sequences as _sequences  # noqa: F401 (`Dataset.sequences`)
from recnn.data.log import Log, Rewards, load_sample
from recnn.data.windows import Dataset
from recnn.vectors import ItemVectors

SHAPE = dict(hidden=64, embed_dim=64, heads=4, n_blocks=2, critic="none", batch_size=128, frame_size=50)
THEIRS = """
import json, logging, sys, time, warnings
warnings.filterwarnings("ignore")
import pandas as pd, torch
from pytorch_lightning import Trainer
from rectools.dataset import Dataset
from rectools.models import SASRecModel
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
torch.set_num_threads(int(sys.argv[2]))
def trainer(): return Trainer(max_epochs=1, accelerator="cpu", devices=1, logger=False,
                              enable_checkpointing=False, enable_progress_bar=False,
                              enable_model_summary=False)
table = pd.read_csv(sys.argv[1])
data = Dataset.construct(table.assign(weight=1., datetime=pd.to_datetime(table.pop("place"), unit="s")))
model = SASRecModel(n_blocks=2, n_heads=4, n_factors=64, dropout_rate=.2, session_max_len=50, loss="softmax",
                    lr=1e-3, batch_size=128, get_trainer_func=trainer)
model.fit_partial(data, min_epochs=1, max_epochs=1)
times = []
for _ in range(int(sys.argv[3])):
    start = time.perf_counter()
    model.fit_partial(data, min_epochs=1, max_epochs=1)
    times.append(time.perf_counter() - start)
print(json.dumps(times))
"""


def ml20m_log(users=138_493, ratings=20_000_263, items=26_744):
    "A log of ML-20M's shape with random items."
    rng = np.random.default_rng(0)
    n = np.maximum(rng.lognormal(4.2, 1.1, users), 20)
    n = np.maximum((n * ratings / n.sum()).astype("int64"), 20)
    bounds = np.r_[0, np.cumsum(n)]
    item = rng.integers(items, size=bounds[-1], dtype="int32")
    table = pd.DataFrame(dict(item_id=np.arange(items), title=""))
    reward = rng.integers(-4, 6, bounds[-1], dtype="int8")
    return Log(table, np.arange(users), bounds, item, reward, np.arange(bounds[-1]), np.zeros(users, "int8"),
               Rewards())


def gather(size=4096):
    "Ratings a second of an epoch in random order, and numbers a second of copying as much."
    data = Dataset(ml20m_log())
    start, n = time.perf_counter(), 0
    for batch in data.sequences(size, 50): n += int(batch.steps.sum())
    ours = n / (time.perf_counter() - start)
    x = torch.zeros(size, 51)
    start = time.perf_counter()
    for _ in range(200): x.clone(), x.long()
    copied = 200 * x.numel() / (time.perf_counter() - start)
    return dict(gathered_per_s=round(ours), copied_per_s=round(copied))


def pieces(log):
    "Pieces of 51 ratings of a log, each as a user of its own."
    data, rows = Dataset(log), []
    for batch in data.sequences(100_000, 50, shuffle=False):
        for u, items in enumerate(batch.items.numpy()):
            rows += [(u, x, t) for t, x in enumerate(items[items >= 0])]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "place"])


def train_ours(table, n_items, rounds):
    "Seconds of an epoch, `rounds` times, for each softmax."
    user = table.user_id.to_numpy()
    bounds = np.r_[0, np.flatnonzero(np.diff(user)) + 1, len(user)]
    log = Log(pd.DataFrame(dict(item_id=np.arange(n_items), title="")), np.arange(len(bounds) - 1), bounds,
              table.item_id.to_numpy("int32"), np.ones(len(table), "int8"), table.place.to_numpy("int64"),
              np.zeros(len(bounds) - 1, "int8"), Rewards())
    matrix = torch.randn(n_items, 64, generator=torch.Generator().manual_seed(0))
    vectors = ItemVectors(np.arange(n_items), matrix, list(map(str, range(n_items))))
    data, out = Dataset(log, vectors, 50, pad=True), {}
    for name, sampled in (("full softmax", 0), ("512 sampled", 512)):
        agent = BehaviourCloning(BehaviourCloning.config_class(n_sampled=sampled, **SHAPE))
        agent.prepare(data)
        times = []
        for epoch in range(rounds + 1):
            start = time.perf_counter()
            for batch in data.sequences(128, 50, seed=epoch): agent.update(batch)
            times.append(time.perf_counter() - start)
        out[name] = times[1:]
    return out


def main():
    parser = command_line(__doc__)
    parser.add_argument("--rectools", help="Python of an environment with rectools[torch] 0.19")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    figures = gather()
    log = rated_only(load_sample())
    table = pieces(log)
    tokens = len(table) - table.user_id.nunique()
    ours = {name: tokens / np.median(t) for name, t in train_ours(table, log.n_items, args.rounds).items()}
    figures |= dict(threads=args.threads, tokens=tokens, items=log.n_items)
    figures |= {f"tokens_per_s, {n}": round(x) for n, x in ours.items()}
    if args.rectools:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pieces.csv"
            table.to_csv(path, index=False)
            command = [args.rectools, "-c", THEIRS, str(path), str(args.threads), str(args.rounds)]
            found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        theirs = tokens / np.median(json.loads(found.splitlines()[-1]))
        figures |= {"rectools tokens_per_s": round(theirs)} | {f"ratio, {n}": round(x / theirs, 2)
                                                               for n, x in ours.items()}
    print(json.dumps(figures, indent=1))
    record("sequences", figures)


if __name__ == "__main__": main()
