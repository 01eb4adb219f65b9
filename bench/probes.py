"""What vectors of films are good for: probes of text, histories, metadata and their mergers on held-out users.

    python bench/probes.py [--seeds 5] [--slow-seeds 1] [--map] [--cache FILE]
    python bench/probes.py --data ml-latest-small --plots tmdb_5000_movies.csv

Each seed has its own split of users. Writes mean and standard deviation over seeds to bench/results/probes.json, under
names such as `test/merged/HR@10/mean`, after every seed. The autoencoder and UMAP are slow and have a number of seeds of
their own. With --map also the places of the 3,000 most rated films in two dimensions, to bench/results/film_map.csv.

With --data, a folder of MovieLens, and --plots, TMDB's file, the catalogue is the films that have a plot, and the question
is what plots and TMDB's metadata add to titles, genres and years. Writes bench/results/probes-plots.json.
"""
import argparse, tempfile, time
from pathlib import Path

import numpy as np
import pandas as pd
from record import RESULTS, record
from recnn.items.histories import with_popularity
from recnn.items.text import encode_texts, film_texts, fit_pca
from recnn.items.records import LOG_FIELDS, encode_films, feature_matrix, fit_encoder, link_films, read_tmdb5000
from recnn.items.merge import (FILM_WEIGHTS, Merger, film_blocks, fit_merger, learn_umap, merge, next_film_probe, next_film_questions,
                           popularity_probe, probe_table)
from recnn.data.log import load_sample, read_movies, read_ratings, split_users

MERGERS = {"merged": {}, "merged, equal weights": dict(weights={}), "merged, not whitened": dict(whiten=False),
           "merged, without metadata": dict(weights=FILM_WEIGHTS | dict(metadata=0.)),
           "merged, autoencoder": dict(method="autoencoder"), "merged, UMAP": dict(method="umap")}
SLOW = ("merged, autoencoder", "merged, UMAP")
SHARES = (.02, .05, .1)  # of the variance, in a column of popularity


def reduce_text(block, fit, dim):
    "Text vectors alone, through whitened PCA."
    ids, text = block
    return ids, fit_pca(text[np.isin(ids, fit)], dim).transform(text.astype("float64")).astype("float32")


def merged(blocks, fit, seed, dim, **settings):
    "Blocks in one space."
    return merge(fit_merger(Merger(dim, seed=seed, **dict(weights=FILM_WEIGHTS) | settings), blocks, fit), blocks)


def all_vectors(blocks, train, seed, dim, mergers):
    "Every kind of vector by name, as (ids, matrix)."
    fit = train.item_id.unique()
    found = {"text": reduce_text(blocks["text"], fit, dim), "collaborative": blocks["collaborative"], "metadata": blocks["metadata"]}
    for name in mergers:
        start = time.time()
        found[name] = merged(blocks, fit, seed, dim, **MERGERS[name])
        print(f"  {name}: {time.time() - start:.0f} s", flush=True)
    for name in ("collaborative", "merged"):
        ids, matrix = found[name]
        found |= {f"{name}, popularity {share:.0%}": (ids, with_popularity(ids, matrix, train, share)) for share in SHARES}
    return found


def both_parts(vectors, blocks, movies, ratings, train, split):
    "Tables of validation and test users; genres and what can be read are the same in both."
    valid, test = (next_film_questions(ratings, users) for users in (split.valid, split.test))
    tables = dict(valid=probe_table(vectors, blocks, movies, train, valid))
    catalogue = movies.item_id.to_numpy()
    answers = dict(popularity=popularity_probe(train, test, catalogue)) | {name: next_film_probe(block, test, catalogue) for name, block in vectors.items()}
    return tables | dict(test=tables["valid"].assign(**pd.DataFrame(answers).T))


def one_seed(movies, ratings, seed, cache, mergers, dim=128):
    "Tables of one split, by part, and the vectors."
    split = split_users(ratings.user_id, seed=seed)
    train = ratings[ratings.user_id.isin(split.train)]
    blocks = film_blocks(movies, train, None, dim=dim, seed=seed, cache=cache)
    vectors = all_vectors(blocks, train, seed, dim, mergers)
    return both_parts(vectors, blocks, movies, ratings, train, split), vectors


def films_with_plots(folder, plots):
    "Ratings and films that have a plot, with TMDB's overview and tagline, and TMDB's metadata as (ids, matrix)."
    records = link_films(read_tmdb5000(plots), Path(folder) / "links.csv")
    records = records[records.overview.notna()].reset_index(drop=True)
    movies = read_movies(Path(folder) / "movies.csv").merge(records[["item_id", "tagline", "overview"]].astype({"item_id": "int64"}), on="item_id")
    ratings = read_ratings(Path(folder) / "ratings.csv")
    encoder = fit_encoder(records, log=LOG_FIELDS)
    return ratings[ratings.item_id.isin(movies.item_id)].reset_index(drop=True), movies, feature_matrix(encode_films(records, encoder), encoder)[:2]


def one_seed_of_plots(ratings, movies, tmdb, seed, cache, dim=128):
    "Tables of one split of users, by part: the same films with and without plots and TMDB's metadata."
    split = split_users(ratings.user_id, seed=seed)
    train = ratings[ratings.user_id.isin(split.train)]
    fit = train.item_id.unique()
    plot = film_blocks(movies, train, None, dim=dim, seed=seed, cache=cache)
    ids = plot["text"][0]
    title = plot | dict(text=(ids, encode_texts(film_texts(movies.drop(columns=["tagline", "overview"])), cache=cache).numpy()))
    blocks = plot | dict(metadata=tmdb)
    vectors = {"text, titles": reduce_text(title["text"], fit, dim), "text, plots": reduce_text(plot["text"], fit, dim), "collaborative": plot["collaborative"],
               "metadata, genres and years": plot["metadata"], "metadata, TMDB": tmdb, "merged, titles": merged(title, fit, seed, dim),
               "merged, plots": merged(plot, fit, seed, dim), "merged, plots and TMDB": merged(blocks, fit, seed, dim)}
    return both_parts(vectors, blocks, movies, ratings, train, split)


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
    x, y = learn_umap(matrix[some], 2, False, 0, neighbors=25, min_dist=.15)["places"].T
    pd.DataFrame(dict(item_id=ids[some], x=x.round(2), y=y.round(2))).to_csv(RESULTS / "film_map.csv", index=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--slow-seeds", type=int, default=1, help="seeds of the autoencoder and of UMAP")
    parser.add_argument("--map", action="store_true", help="write the map as well")
    parser.add_argument("--cache", help="file for the vectors of texts, kept for the next run")
    parser.add_argument("--data", help="folder of MovieLens with links.csv")
    parser.add_argument("--plots", help="tmdb_5000_movies.csv")
    args = parser.parse_args()
    if (args.data is None) != (args.plots is None): parser.error("--data and --plots go together")
    ratings, movies, *tmdb = films_with_plots(args.data, args.plots) if args.data else load_sample()
    tables, begin = [], time.time()
    with tempfile.TemporaryDirectory() as folder:
        cache = args.cache or Path(folder) / "texts.cache"
        for seed in range(args.seeds):
            print(f"seed {seed}, {time.time() - begin:.0f} s", flush=True)
            if args.data: tables.append(one_seed_of_plots(ratings, movies, *tmdb, seed, cache))
            else:
                mergers = [m for m in MERGERS if seed < args.slow_seeds or m not in SLOW]
                found, vectors = one_seed(movies, ratings, seed, cache, mergers)
                tables.append(found)
                if args.map and seed == 0: write_map(vectors, ratings)
            about = dict(seeds=seed + 1, seconds=round(time.time() - begin), films=len(movies), users=ratings.user_id.nunique(), ratings=len(ratings))
            if not args.data: about["slow_seeds"] = min(seed + 1, args.slow_seeds)
            record("probes-plots" if args.data else "probes", about | summary(tables))


if __name__ == "__main__": main()
