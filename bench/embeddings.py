"""Speed of item vectors: texts per second with and without sorting by length, the cache, PCA, and histories.

    python bench/embeddings.py [--texts 1000] [--ratings 2000000]

Films have short texts of similar length; plots do not, so the second set has texts of 10 to 250 words whose
lengths are distributed as those of plots (log-normal, median 50 words). Both ways of batching take turns in
one run. The log is synthetic, with ML-20M's items and ratings per user.

Writes bench/results/embeddings.json.
"""
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np
import torch

from record import command_line, record
from recnn.data.log import load_sample, make_log
from recnn.data.planted import large_ratings
from recnn.data.tables import check_ratings
from recnn.items.histories import collaborative_vectors
from recnn.items.text import _fit_pca, encode_texts, item_texts


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
    "Median texts per second, sorted and not, in turns."
    times = {True: [], False: []}
    for _ in range(rounds):
        for sort in times: times[sort].append(seconds(encode_texts, texts, sort=sort))
    rates = {sort: len(texts) / statistics.median(t) for sort, t in times.items()}
    return dict(sorted_texts_per_s=round(rates[True]), unsorted_texts_per_s=round(rates[False]),
                ratio=round(rates[True] / rates[False], 2))


def cache_speed(texts):
    "Seconds of a first run and of a second one from the cache."
    with tempfile.TemporaryDirectory() as folder:
        first, again = (seconds(encode_texts, texts, cache=Path(folder) / "texts.cache") for _ in range(2))
    return {"plot/first_run_s": round(first, 2), "plot/cached_run_s": round(again, 3)}


def history_speed(ratings):
    "Seconds and memory of vectors of histories."
    log = make_log(check_ratings(large_ratings(ratings * 138_493 // 20_000_263, n_ratings=ratings)))
    memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    before = memory()
    return {"histories/ratings": ratings,
            "histories/window_10_s": round(seconds(collaborative_vectors, log), 1),
            "histories/more_memory_gb": round(memory() - before, 2)}


def main():
    parser = command_line(__doc__)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--ratings", type=int, default=2_000_000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    films = item_texts(load_sample().items)
    some = [films[i] for i in rng.permutation(len(films))[:args.texts]]
    long = plots(args.texts, sorted({w for t in films for w in t.split() if w.isalpha()}), rng)
    encode_texts(some[:64])  # files of the model are in memory from here on
    sets = ("film", some), ("plot", long)
    figures = {f"{name}/{k}": v for name, texts in sets for k, v in text_speed(texts).items()}
    figures |= cache_speed(long)
    figures["pca/27000x768_to_128_s"] = round(
        seconds(_fit_pca, torch.from_numpy(rng.normal(size=(27_000, 768)))), 2)
    figures |= history_speed(args.ratings)
    record("embeddings", figures | dict(threads=torch.get_num_threads(), texts=args.texts))


if __name__ == "__main__": main()
