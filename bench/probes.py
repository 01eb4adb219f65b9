"""What vectors of films are good for: probes of text, histories, metadata and their mergers on held-out users.

    python bench/probes.py [--seeds 5] [--no-umap] [--map]

Each seed has its own split of users. Writes mean and standard deviation over seeds to bench/results/probes.json, under
names such as `test/merged/HR@10/mean`. With --map also the places of the 3,000 most rated films in two dimensions, to
bench/results/film_map.csv.
"""
import argparse, tempfile, time
from pathlib import Path

import numpy as np
import pandas as pd
from record import RESULTS, record
from recnn.embeddings import fit_pca
from recnn.merging import FILM_WEIGHTS, Merger, film_blocks, fit_merger, learn_umap, merge, next_film_questions, probe_table
from recnn.ratings import load_sample, split_users

MERGERS = {"merged": {}, "merged, equal weights": dict(weights={}), "merged, not whitened": dict(whiten=False),
           "merged, without metadata": dict(weights=FILM_WEIGHTS | dict(metadata=0.)),
           "merged, autoencoder": dict(method="autoencoder"), "merged, UMAP": dict(method="umap")}


def all_vectors(blocks, fit, seed, dim, mergers):
    "Every kind of vector by name, as (ids, matrix)."
    ids, text = blocks["text"]
    pca = fit_pca(text[np.isin(ids, fit)], dim)
    found = {"text": (ids, pca.transform(text.astype("float64")).astype("float32")), "collaborative": blocks["collaborative"], "metadata": blocks["metadata"]}
    for name in mergers:
        start = time.time()
        found[name] = merge(fit_merger(Merger(dim, seed=seed, **dict(weights=FILM_WEIGHTS) | MERGERS[name]), blocks, fit), blocks)
        print(f"  {name}: {time.time() - start:.0f} s", flush=True)
    return found


def one_seed(movies, ratings, seed, cache, dim=128, mergers=tuple(MERGERS), min_count=4):
    "Tables of one split, by part, and the vectors."
    split = split_users(ratings.user_id, seed=seed)
    train = ratings[ratings.user_id.isin(split.train)]
    blocks = film_blocks(movies, train, None, dim=dim, seed=seed, cache=cache, min_count=min_count)
    vectors = all_vectors(blocks, train.item_id.unique(), seed, dim, mergers)
    return {p: probe_table(vectors, blocks, movies, train, next_film_questions(ratings, getattr(split, p))) for p in ("valid", "test")}, vectors


def summary(tables):
    "Mean and standard deviation over seeds, flat."
    figures = {}
    for part in ("valid", "test"):
        stacked = pd.concat([t[part] for t in tables])
        for stat in ("mean", "std"):
            frame = getattr(stacked.groupby(level=0, sort=False), stat)()
            figures |= {f"{part}/{row}/{col}/{stat}": round(float(v), 4) for (row, col), v in frame.stack().items() if v == v}
    return figures


def write_map(vectors, ratings, n=3000):
    "Places of the most rated films in two dimensions."
    ids, matrix = vectors["merged"]
    some = np.isin(ids, ratings.item_id.value_counts().index[:n])
    x, y = learn_umap(matrix[some], 2, False, 0, neighbors=15, min_dist=.3)["places"].T
    pd.DataFrame(dict(item_id=ids[some], x=x.round(2), y=y.round(2))).to_csv(RESULTS / "film_map.csv", index=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--no-umap", action="store_true", help="leave out the slowest merger")
    parser.add_argument("--map", action="store_true", help="write the map as well")
    args = parser.parse_args()
    mergers = [m for m in MERGERS if not (args.no_umap and "UMAP" in m)]
    ratings, movies = load_sample()
    tables, begin = [], time.time()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.seeds):
            print(f"seed {seed}, {time.time() - begin:.0f} s", flush=True)
            found, vectors = one_seed(movies, ratings, seed, Path(folder) / "texts.cache", mergers=mergers)
            tables.append(found)
            if args.map and seed == 0: write_map(vectors, ratings)
    record("probes", dict(seeds=args.seeds, seconds=round(time.time() - begin)) | summary(tables))


if __name__ == "__main__": main()
