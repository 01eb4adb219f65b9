"""Speed of embeddings: texts a second with and without sorting by length, the cache, PCA, and vectors of histories.

    python bench/embeddings.py [--texts 1000] [--ratings 2000000]

Films have short texts of much the same length; plots do not, so the second set has texts of 10 to 250 words whose lengths
are drawn as those of plots (log-normal, median 50 words). Both ways of batching take turns in one run. The log is
synthetic, with ML-20M's films and ratings a user. Writes bench/results/embeddings.json.
"""
import argparse, resource, statistics, tempfile, time
from pathlib import Path

import numpy as np
import torch
from record import record
from recnn.items.histories import collaborative_vectors
from recnn.items.text import encode_texts, film_texts, fit_pca
from recnn.data.log import load_sample, make_log


def seconds(f, *args, **kwargs):
    "Seconds of one call."
    start = time.perf_counter()
    f(*args, **kwargs)
    return time.perf_counter() - start


def plots(n, words, rng):
    "Texts whose lengths vary as those of plots do."
    lengths = np.clip(np.exp(rng.normal(np.log(50), .6, n)), 10, 250).astype(int)
    return [" ".join(rng.choice(words, k)) for k in lengths]


def text_speed(texts, rounds=3):
    "Median texts a second, sorted and not, in turns."
    times = {True: [], False: []}
    for _ in range(rounds):
        for sort in times: times[sort].append(seconds(encode_texts, texts, sort=sort))
    rates = {sort: len(texts) / statistics.median(t) for sort, t in times.items()}
    return dict(sorted_texts_per_s=round(rates[True]), unsorted_texts_per_s=round(rates[False]), ratio=round(rates[True] / rates[False], 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--ratings", type=int, default=2_000_000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    films = film_texts(load_sample()[1])
    some = [films[i] for i in rng.permutation(len(films))[:args.texts]]
    long = plots(args.texts, sorted({w for t in films for w in t.split() if w.isalpha()}), rng)
    encode_texts(some[:64])  # files of the model are in memory from here on
    figures = {f"{name}/{k}": v for name, texts in (("film", some), ("plot", long)) for k, v in text_speed(texts).items()}
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "texts.cache"
        figures |= {"plot/first_run_s": round(seconds(encode_texts, long, cache=cache), 2), "plot/cached_run_s": round(seconds(encode_texts, long, cache=cache), 3)}
    figures["pca/27000x768_to_128_s"] = round(seconds(fit_pca, torch.from_numpy(rng.normal(size=(27_000, 768)))), 2)
    log = make_log(n_users=args.ratings * 138_493 // 20_000_263, n_ratings=args.ratings)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures |= {"histories/ratings": args.ratings, "histories/window_10_s": round(seconds(collaborative_vectors, log, None), 1),
                "histories/more_memory_gb": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6, 2)}
    record("embeddings", figures | dict(threads=torch.get_num_threads(), texts=args.texts))


if __name__ == "__main__": main()
