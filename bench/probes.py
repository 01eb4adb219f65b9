"""What item vectors are good for: probes of text, histories, metadata and their mergers on held-out users.

    python bench/probes.py [--seeds 5] [--slow-seeds 1] [--map] [--cache FILE]
    python bench/probes.py --data ml-latest-small --plots tmdb_5000_movies.csv

Each seed has its own split of users. The autoencoder and UMAP are slow and have a number of seeds of their
own; without umap-learn, UMAP is left out. With --map the script also writes the positions of the 3,000 most
rated films in two dimensions to bench/results/film_map.csv.

With --data, a folder of MovieLens, and --plots, TMDB's file, the catalogue is the films that have a plot, and
the question is what plots and TMDB's metadata add to titles, genres and years.

Writes mean and standard deviation over seeds to bench/results/probes.json, or probes-plots.json, after every
seed, under names such as `test/merged/HR@10/mean`.
"""
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np
import pandas as pd

from logs import rated_only, restrict
from record import RESULTS, command_line, record
from recnn.data.log import load_sample
from recnn.data.movielens import read_movielens
from recnn.items.encode import LOG_FIELDS, RecordEncoder
from recnn.items.histories import _with_popularity
from recnn.items.merge import _BLOCK_WEIGHTS, Merger, item_blocks
from recnn.items.probes import _popularity_probe, _next_item_probe, next_item_questions, probe_table
from recnn.items.records import link_films, read_tmdb5000
from recnn.items.reduce import _learn_umap
from recnn.items.text import _fit_pca, encode_texts, item_texts

MERGERS = {
    "merged": {}, "merged, equal weights": dict(weights={}), "merged, not whitened": dict(whiten=False),
    "merged, without metadata": dict(weights=_BLOCK_WEIGHTS | dict(metadata=0.)),
    "merged, autoencoder": dict(method="autoencoder"), "merged, UMAP": dict(method="umap")}
SLOW = ("merged, autoencoder", "merged, UMAP")
FRACTIONS = (.02, .05, .1)  # of the variance, in a column of popularity
DIM = 128


def reduce_text(block, fit, dim=DIM):
    "Text vectors alone, through whitened PCA."
    index, text = block
    return index, _fit_pca(text[np.isin(index, fit)], dim).transform(text.astype("float64")).astype("float32")


def merged(blocks, fit, seed, dim=DIM, **settings):
    "Blocks in one space."
    return Merger(dim, seed=seed, **dict(weights=_BLOCK_WEIGHTS) | settings).fit(blocks, fit).merge(blocks)


def all_vectors(blocks, train, seed, mergers):
    "Every kind of vector by name, as (index, matrix)."
    fit, count = np.unique(train.item), np.bincount(train.item, minlength=train.n_items)
    found = {"text": reduce_text(blocks["text"], fit)}
    found |= {name: blocks[name] for name in ("collaborative", "metadata")}
    for name in mergers:
        start = time.time()
        try: found[name] = merged(blocks, fit, seed, **MERGERS[name])
        except ImportError as e: print(f"  {name} is left out: {e}")
        else: print(f"  {name}: {time.time() - start:.0f} s", flush=True)
    for name in ("collaborative", "merged"):
        index, matrix = found[name]
        for p in FRACTIONS:
            found[f"{name}, popularity {p:.0%}"] = index, _with_popularity(matrix, count[index], p)
    return found


def both_parts(vectors, blocks, log):
    "Tables of validation and test users; genres and explained variance are the same in both."
    train, valid, test = (log.part(p) for p in ("train", "valid", "test"))
    questions = next_item_questions(test)
    tables = dict(valid=probe_table(vectors, blocks, train, next_item_questions(valid)))
    answers = dict(popularity=_popularity_probe(train, questions))
    answers |= {name: _next_item_probe(block, questions, log.n_items) for name, block in vectors.items()}
    return tables | dict(test=tables["valid"].assign(**pd.DataFrame(answers).T))


def one_seed(log, seed, cache, mergers):
    "Tables of one split, by part, and the vectors."
    log = log.split_users(seed=seed)
    train = log.part("train")
    blocks = item_blocks(train, dim=DIM, seed=seed, cache=cache)
    vectors = all_vectors(blocks, train, seed, mergers)
    return both_parts(vectors, blocks, log), vectors


def log_with_plots(folder, plots):
    "Log of the films that have a plot, with its text, and TMDB's metadata as (index, matrix)."
    records = link_films(read_tmdb5000(plots), Path(folder) / "links.csv")
    records = records[records.overview.notna()].reset_index(drop=True)
    log = read_movielens(folder)
    log = replace(log, items=log.items[["item_id", "title", "year", "genres"]])
    texts = records[["item_id", "tagline", "overview"]].astype({"item_id": "int64"})
    texts = texts.drop_duplicates("item_id")
    log = restrict(log, np.isin(log.item_ids, texts.item_id))
    log = replace(log, items=log.items.merge(texts, on="item_id", how="left"))
    encoder = RecordEncoder(log=LOG_FIELDS).fit(records)
    ids, matrix, _ = encoder.feature_matrix(encoder.encode(records))
    kept = np.isin(ids, log.item_ids)
    return log, (np.searchsorted(log.item_ids, ids[kept]), matrix[kept])


def one_seed_of_plots(log, tmdb, seed, cache):
    "Tables of one split of users, by part: the same films with and without plots and TMDB's metadata."
    log = log.split_users(seed=seed)
    train = log.part("train")
    fit = np.unique(train.item)
    plot = item_blocks(train, dim=DIM, seed=seed, cache=cache)
    titles = encode_texts(item_texts(log.items.drop(columns=["tagline", "overview"])), cache=cache).numpy()
    title = plot | dict(text=(plot["text"][0], titles))
    blocks = plot | dict(metadata=tmdb)
    vectors = {"text, titles": reduce_text(title["text"], fit), "text, plots": reduce_text(plot["text"], fit),
               "collaborative": plot["collaborative"], "metadata, genres and years": plot["metadata"],
               "metadata, TMDB": tmdb, "merged, titles": merged(title, fit, seed),
               "merged, plots": merged(plot, fit, seed), "merged, plots and TMDB": merged(blocks, fit, seed)}
    return both_parts(vectors, blocks, log)


def column_name(name):
    "Name of a probe in the results."
    return name.replace("explained", "read").replace("categories", "genres")


def summary(tables):
    "Mean and standard deviation over seeds, flat."
    figures = {}
    for part in ("valid", "test"):
        stacked = pd.concat([t[part].rename(columns=column_name) for t in tables])
        for stat in ("mean", "std"):
            frame = getattr(stacked.groupby(level=0, sort=False), stat)().stack()
            known = ((row, column, v) for (row, column), v in frame.items() if v == v)
            figures |= {f"{part}/{row}/{column}/{stat}": round(float(v), 4) for row, column, v in known}
    return figures


def write_map(vectors, log, n=3000):
    "Write the positions of the most rated films in two dimensions."
    index, matrix = vectors["merged"]
    most = np.argsort(-np.bincount(log.item, minlength=log.n_items), kind="stable")[:n]
    some = np.isin(index, most)
    try: x, y = _learn_umap(matrix[some], 2, False, 0, neighbors=25, min_dist=.15)["places"].T
    except ImportError as e: return print(f"the map is left out: {e}")
    table = pd.DataFrame(dict(item_id=log.item_ids[index[some]], x=x.round(2), y=y.round(2)))
    table.to_csv(RESULTS / "film_map.csv", index=False)


def main():
    parser = command_line(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--slow-seeds", type=int, default=1, help="seeds of the autoencoder and of UMAP")
    parser.add_argument("--map", action="store_true", help="write the map as well")
    parser.add_argument("--cache", help="file for the vectors of texts, kept for the next run")
    parser.add_argument("--data", help="folder of MovieLens with links.csv")
    parser.add_argument("--plots", help="tmdb_5000_movies.csv")
    args = parser.parse_args()
    if (args.data is None) != (args.plots is None): parser.error("--data and --plots go together")
    log, *tmdb = log_with_plots(args.data, args.plots) if args.data else (rated_only(load_sample()),)
    tables, begin = [], time.time()
    with tempfile.TemporaryDirectory() as folder:
        cache = args.cache or Path(folder) / "texts.cache"
        for seed in range(args.seeds):
            print(f"seed {seed}, {time.time() - begin:.0f} s", flush=True)
            if args.data: tables.append(one_seed_of_plots(log, *tmdb, seed, cache))
            else:
                mergers = [m for m in MERGERS if seed < args.slow_seeds or m not in SLOW]
                found, vectors = one_seed(log, seed, cache, mergers)
                tables.append(found)
                if args.map and seed == 0: write_map(vectors, log)
            about = dict(seeds=seed + 1, seconds=round(time.time() - begin), items=log.n_items,
                         users=log.n_users, ratings=len(log))
            if not args.data: about["slow_seeds"] = min(seed + 1, args.slow_seeds)
            record("probes-plots" if args.data else "probes", about | summary(tables))


if __name__ == "__main__": main()
