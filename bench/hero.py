"""The film that each method puts first for every test user of the bundled sample: the front page's picture.

    python bench/hero.py --cache texts.db     train, ask, and write bench/results/hero.json and the pictures
    python bench/hero.py --seeds 1 2          further seeds; the pictures show the first
    python bench/hero.py --draw               the pictures alone, from the rows that are there

DDPG, TD3 and the default agent learn from the training users. Each test user is asked for the last film, with
all films ranked and seen films left out. Everybody's first film is kept for each seed, and for the first seed
the lists of the method and of item-kNN for somebody new, whose films are typed below.

Writes bench/results/hero.json after each run, and nbs/images/hero.png, hero-narrow.png and hero-card.png.
"""
import os
import tempfile
from collections import Counter
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np
import pandas as pd
import torch

import recnn
from front import draw_all
from record import Table, command_line, read
from recnn.app.titles import _names, _split_year
from recnn.items.merge import embed_items

IMAGES = Path(__file__).resolve().parents[1] / "nbs" / "images"
METHODS = {  # label: model, settings
    "DDPG": ("ddpg", dict(bound="tanh", updates=1000)),
    "TD3": ("td3", dict(bound="tanh", updates=1000)),
    "default": ("default", dict()),
    "item-kNN": ("item_knn", dict()),
}
PICKS = {"Toy Story": 5, "Finding Nemo": 5, "The Lion King": 4.5, "Shrek": 4.5, "Mary Poppins": 4, "Alien": 1}


def as_written(title):
    "A title as people write it: 'Shining, The (1980)' is 'The Shining (1980)'."
    name, year = _split_year(title)
    return _names(name)[0] + (f" ({year})" if year else "")


def last_films(log, users):
    "Titles of the last film of some users."
    return [as_written(log.titles[i]) for i in log.item[log.bounds[users + 1] - 1]]


def asked(log):
    "Test users with at least 11 ratings, as the windows of ten films and a next one ask for."
    users = log.users("test")
    return users[np.diff(log.bounds)[users] > 10]


def firsts(model, log, users):
    "Title that a model puts first for each of some users, who are asked for their last film."
    lists = model.recommend(log.user_ids[users], k=1, log=log.leave_last())
    return [as_written(t) for t in lists.title]


def described(first, log, users):
    "Number of different films, the one that most people get, for how many, and how many others have seen it."
    (top, count), = Counter(first).most_common(1)
    titles = np.array([as_written(t) for t in log.titles], object)
    seen = [top in titles[log.item[log.bounds[u]:log.bounds[u + 1] - 1]] for u in users]
    others = sum(s for s, t in zip(seen, first) if t != top)
    return dict(users=len(users), distinct=len(set(first)), top=top, count=count, others_seen=others)


def run(args, log, vectors, add):
    "A row for each method and seed."
    picks, users = pd.DataFrame(dict(title=PICKS.keys(), rating=PICKS.values())), asked(log)
    for seed in args.seeds:
        for label, (name, settings) in METHODS.items():
            if label == "item-kNN" and seed: continue  # it draws nothing
            model = recnn.fit(name, log, vectors, seed=seed, **settings)
            first = firsts(model, log, users)
            row = dict(method=label, name=model.name, seed=seed, settings=settings)
            row |= described(first, log, users) | dict(first=first)
            if seed == 0: row["list"] = [as_written(t) for t in model.recommend(history=picks).title]
            add(row, hidden=("first",))


def main():
    parser = command_line(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--cache", help="file that keeps the vectors of texts")
    parser.add_argument("--draw", action="store_true", help="pictures alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not args.draw:
        log = recnn.load_sample()
        head = dict(data="sample", picks=PICKS, watched=last_films(log, asked(log)))
        table = Table("hero", ("method", "seed"), **head)
        with tempfile.TemporaryDirectory() as folder:
            cache = args.cache or Path(folder) / "texts.db"
            vectors = embed_items(log.part("train"), 64, popularity=1 / 64, cache=cache)
        run(args, log, vectors, table.add)
    draw_all(read("hero"), IMAGES)


if __name__ == "__main__": main()
