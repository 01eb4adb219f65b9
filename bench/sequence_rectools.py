"""SASRec of RecTools on sessions from a file, for bench/baselines.py, in an environment of its own.

    python bench/sequence_rectools.py FOLDER LENGTH LR SEED EPOCHS...

Reads learn.csv and ask.csv (session or user, item, place) of the folder. After each number of epochs it
writes lists-EPOCHS.json, the ten items for each user of ask.csv, best first, and prints that number and the
seconds of training.
"""
import json
import logging
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
import torch
from pytorch_lightning import Trainer, seed_everything
from rectools.dataset import Dataset
from rectools.models import SASRecModel

warnings.filterwarnings("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


def trainer():
    "A silent trainer on one CPU."
    return Trainer(max_epochs=1, deterministic=True, accelerator="cpu", devices=1, logger=False,
                   enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)


def read(folder, name):
    "A table of sessions as a data set of RecTools."
    table = pd.read_csv(Path(folder) / f"{name}.csv")
    table = table.assign(weight=1., datetime=pd.to_datetime(table.pop("place"), unit="s"))
    return Dataset.construct(table)


def main():
    folder, length, lr, seed, *checks = sys.argv[1:]
    torch.set_num_threads(1)
    learn, ask = (read(folder, name) for name in ("learn", "ask"))
    seed_everything(int(seed))
    model = SASRecModel(n_blocks=2, n_heads=4, n_factors=64, dropout_rate=.2, session_max_len=int(length),
                        loss="softmax", lr=float(lr), batch_size=128, get_trainer_func=trainer,
                        recommend_torch_device="cpu")
    done, seconds = 0, 0.
    for epochs in map(int, checks):
        start = time.process_time()
        model.fit_partial(learn, min_epochs=epochs - done, max_epochs=epochs - done)
        done, seconds = epochs, seconds + time.process_time() - start
        found = model.recommend(ask.user_id_map.external_ids, ask, 10, filter_viewed=True)
        by_user = found.sort_values(["user_id", "rank"]).groupby("user_id").item_id
        lists = {int(user): items.tolist() for user, items in by_user}
        (Path(folder) / f"lists-{epochs}.json").write_text(json.dumps(lists))
        print("epochs", epochs, round(seconds, 1), flush=True)


if __name__ == "__main__": main()
