"""The logs that benchmarks run on, and what an agent learns from and is asked about under each protocol."""
from dataclasses import replace

import numpy as np
import torch

from recnn.data.log import load_sample
from recnn.data.movielens import read_movielens
from recnn.data.windows import Dataset


def restrict(log, keep):
    "A log with the items of the mask `keep` [N] alone, and with the users alone that have rated one of them."
    log = log.select(keep[log.item])
    some, index = np.diff(log.bounds) > 0, (np.cumsum(keep) - 1).astype("int32")
    return replace(log, items=log.items[keep].reset_index(drop=True), item=index[log.item],
                   user_ids=log.user_ids[some], split=log.split[some],
                   bounds=np.r_[log.bounds[:-1][some], log.bounds[-1]])


def rated_only(log):
    "A log whose catalogue holds only the items that have ratings."
    return restrict(log, np.bincount(log.item, minlength=log.n_items) > 0)


def open_log(name):
    "The bundled sample, or MovieLens from a folder with ratings.csv and movies.csv; rated items only."
    return rated_only(load_sample() if name == "sample" else read_movielens(name))


def everyone(log, part):
    "Log to learn from, and log to ask about: all users, whose last rating is asked about."
    if part == "valid": log = log.leave_last()
    return log.leave_last(), log


def held_out(log, part):
    "Log to learn from, and log to ask about: training users, and users of the part."
    return log.part("train"), log.part(part)


PROTOCOLS = {"everyone": everyone, "held out": held_out}


def alone(log, queries):
    """Mask of the users whose last item has a second of its own.

    Ratings of one second stand in the order of item ids: a model of the order can learn that, and it is no
    taste.
    """
    last = log.bounds[np.searchsorted(log.user_ids, queries.user_id) + 1] - 1
    return torch.from_numpy(log.timestamp[last] != log.timestamp[last - 1])


def open_sets(logs, vectors, whole=False):
    "Windows to learn from and windows to ask about: of ten items, or of whole histories."
    return [Dataset(log, vectors, 50 if whole else 10, pad=whole) for log in logs]
