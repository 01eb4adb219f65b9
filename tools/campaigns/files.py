"""Every form of file that the library writes, read again after a flipped bit or a cut."""
import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from campaigns.tries import RIGHT, digest, generator, judge
from recnn.agents.fit import fit as run_fit
from recnn.agents.td3 import TD3, TD3Config
from recnn.app.recommender import fit, load
from recnn.data.export import write_static
from recnn.data.log import Log, make_log
from recnn.data.windows import Dataset
from recnn.items.pickles import read_pickle, read_vectors, write_vectors
from recnn.items.text import _VectorCache
from recnn.items.tmdb import _Cache
from recnn.vectors import ItemVectors


def small_log(n_users=12, n_items=30, each=14, text=False):
    "A log of users with `each` ratings, by a seed."
    rng, rows = np.random.default_rng(0), []
    for user in range(n_users):
        for place, item in enumerate(rng.choice(n_items, each, replace=False)):
            rows.append((user + 1, item + 1, int(rng.integers(1, 11)) / 2, 10**9 + 1000 * user + place))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "timestamp"])
    if text: frame["item_id"] = [f"i{i:03d}" for i in frame.item_id]
    titles = [f"Title {i} (19{i + 50})" for i in range(n_items)]
    items = pd.DataFrame(dict(item_id=sorted(frame.item_id.unique()), title=titles[:frame.item_id.nunique()]))
    return make_log(frame, items, "stars").split_users(.2, .2)


def small_vectors(log, dim=6):
    "Vectors of a log's items, by a seed."
    matrix = torch.randn(log.n_items, dim, generator=torch.Generator().manual_seed(0))
    return ItemVectors(log.item_ids, matrix, log.titles)


def log_digest(log):
    "Digest of all that a log holds but its source."
    return digest([log.items, log.user_ids, *map(np.asarray, (log.bounds, log.item, log.reward, log.timestamp,
                                                              log.split)), log.rewards, log.frame_size])


def _open_log(path, mapped): return log_digest(Log.open(path, mapped))


def _open_model(path):
    r = load(path)
    return digest([r.model.arrays(), r.model.settings(), r.item_ids, list(r.titles), r.rewards, r.frame_size,
                   r.reward_range, r.trained_users, r.vectors and r.vectors.matrix, r.source])


def _open_vectors(path):
    v = ItemVectors.load(path)
    return digest([v.ids, v.matrix, list(v.titles)])


class _Stopped(Exception): "The end of a run before its time."


def _run(path, stop=None):
    "Weights and log of a run of 12 updates; `stop`: the run ends at this update, and its checkpoint stays."
    log = small_log()
    data = Dataset(log.part("train"), small_vectors(log))
    agent = TD3(TD3Config(data.frame_size, data.vectors.dim, hidden=8, batch_size=4), seed=1)

    def evaluate(agent):
        if agent.n_updates == stop: raise _Stopped
        return dict(n=float(agent.n_updates))
    options = dict(checkpoint=path, save_every=0, log_every=4, evaluate=evaluate, evaluate_every=1)
    try: rows = run_fit(agent, data, 12, seed=1, **options)
    except _Stopped: return None
    return digest([agent.arrays(), rows])


def _texts(path):
    "Vectors of a cache that it vouches for, those that it lacks as they were."
    cache = _VectorCache(path)
    found = cache.read([k for k in _cached()])
    cache.db.close()
    return digest({k: found.get(k, v) for k, v in _cached().items()})


def _cached(): return {bytes([i]) * 32: np.full(16, i, "float32") for i in range(40)}


def _answers(): return {f"movie/{i}?language=en-US": dict(id=i, title=f"Title {i}") for i in range(40)}


def _records(path):
    "Answers of a cache of TMDB that it has, those that it lacks as they were."
    cache = _Cache(path)
    found = {k: cache[k] if k in cache else v for k, v in _answers().items()}
    cache.close()
    return digest(found)


FORMS = dict(  # name -> file, function that reads it
    model=("model.safetensors", _open_model), vectors=("vectors.safetensors", _open_vectors),
    log=("log.hdf5", lambda path: _open_log(path, False)),
    mapped=("mapped.hdf5", lambda path: _open_log(path, True)),
    packed=("packed.hdf5", lambda path: _open_log(path, False)),
    static=("static.hdf5", lambda path: _open_log(path, False)), checkpoint=("run.checkpoint", _run),
    texts=("texts.sqlite", _texts), records=("records.jsonl", _records))


def write_forms(folder):
    "Write a file of each form; its right digest by name."
    log = small_log()
    vectors, folder = small_vectors(log), Path(folder)
    place = {name: folder / file for name, (file, _) in FORMS.items()}
    fit("td3", log, vectors, updates=4, batch_size=8, hidden=8).save(place["model"])
    vectors.save(place["vectors"])
    log.write(place["log"])
    log.write(place["mapped"])
    log.write(place["packed"], compression="gzip")
    write_static(Dataset(log, vectors), place["static"])
    _run(place["checkpoint"], 9)
    cache = _VectorCache(place["texts"])
    cache.write(_cached())
    cache.db.close()
    answers = _Cache(place["records"])
    for asked, answer in _answers().items(): answers.add(asked, answer)
    answers.close()
    right = {name: FORMS[name][1](path) for name, path in place.items()}
    _run(place["checkpoint"], 9)  # a run that has come to its end removes it
    return right


def damage(form, content, cut, seed, i):
    "A file's content with one bit flipped, or cut off."
    rng = generator("flip", form, cut, seed, i)
    at = int(rng.integers(len(content)))
    if cut: return content[:at], f"cut to {at} of {len(content)} bytes"
    out, bit = bytearray(content), int(rng.integers(8))
    out[at] ^= 1 << bit
    return bytes(out), f"bit {bit} of byte {at} of {len(content)}"


def damaged(form, folder, right, cut, seed, i):
    "Read one damaged file."
    file, read = FORMS[form]
    content, what = damage(form, (Path(folder) / file).read_bytes(), cut, seed, i)
    Path(file).write_bytes(content)
    differs = lambda found: "" if found == right[form] else "another result"
    verdict, detail = judge(lambda: read(file), differs, re.escape(file))
    return verdict, f"{file}, {what}: {detail}" if verdict != RIGHT else ""


VECTOR_FILES = "vectors.p", "vectors.pt", "vectors.safetensors"


def write_vector_files(folder):
    "Write vectors in every form that `read_vectors` takes."
    log = small_log()
    vectors = small_vectors(log)
    for file in VECTOR_FILES: write_vectors(vectors.ids, vectors.matrix.numpy(), Path(folder) / file)


def readers():
    "Functions that open each form once, for counting handles."
    return {file: read for file, read in FORMS.values()} | {f: read_vectors for f in VECTOR_FILES} | {
        "vectors.p": read_pickle}
