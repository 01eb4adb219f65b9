"""Build the bundle of downloads from the sample: data, item vectors, records, a state encoder, models.

    python tools/release.py                              everything, into dist/bundle
    python tools/release.py static popularity td3_items  only these, without the ranking
    python tools/release.py --out folder --force         replace what is there

The folder is flat, so that its files can be the assets of a release: `recnn download --from URL` fetches
manifest.json and what it names, and `recnn.load('bundle:td3_items')` loads a model. The same machine and
versions write the same bytes. Takes about ten minutes on 2 cores, of which the vectors take two.
"""
import argparse
import json
import platform
import shutil
import sys
import time
from functools import cache
from pathlib import Path

import numpy
import torch

import recnn
from recnn.agents.encoders import save_encoder
from recnn.app.bundle import _MANIFEST, _write_manifest
from recnn.app.card import _markdown, _markdown_table
from recnn.app.models import find_model
from recnn.data.export import write_static
from recnn.io import atomic_write
from recnn.items.encode import RecordEncoder
from recnn.items.merge import embed_items
from recnn.items.records import movielens_films

ROOT = Path(__file__).resolve().parents[1]
TERMS = "MovieLens terms, see NOTICE.txt"
ABOUT_BUNDLE = """Everything here is made from the MovieLens sample that comes with recnn, with {made}.

```
recnn download --from URL
```

fetches it from the folder URL that holds manifest.json. A model of it is then loaded by name:

```python
import recnn
model = recnn.load('bundle:reward_weighted')
```"""
CHECKED = """manifest.json holds the SHA-256 of each file, which is compared when a model is loaded. No file
holds code. The models have their default settings and the seed 0, and have learnt from {train} training
users; {valid} others are kept out to make choices on, and {test} to report results on."""
TERMS_TEXT = """## Terms

The files are made from MovieLens data of GroupLens Research and keep its terms, which stand in NOTICE.txt:
they allow research, forbid commercial use without permission, and ask that whatever is made from the data is
passed on under the same terms."""
MODELS = ("reward_weighted", "bc", "iql", "td3_items", "td3_bc", "td3", "ddpg", "sequential_knn", "item_knn",
          "popularity")
ENCODER = dict(encoder="gru", share_encoder=True, hidden=128)


@cache
def log():
    "The sample, its users split with seed 0."
    return recnn.load_sample()


@cache
def vectors():
    "Vectors of the items, from texts, genres and what the training users chose."
    return embed_items(log().part("train"), seed=0)


@cache
def model(name):
    "A model that has learnt from the training users."
    return recnn.fit(name, log(), vectors() if find_model(name).needs_vectors else None)


@cache
def encoded():
    "Encoder of records, and the records by item id."
    films = movielens_films(log().items)
    encoder = RecordEncoder().fit(films)
    return encoder, encoder.encode(films)


def write_records(path):
    "Write the records as JSON, one a line."
    rows = [f'"{i}": {json.dumps(r, ensure_ascii=False)}' for i, r in encoded()[1].items()]
    with atomic_write(path) as part: part.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


def write_encoder(path):
    "Train TD3+BC on the output of a recurrent network, and write that network."
    agent = recnn.fit("td3_bc", log(), vectors(), **ENCODER).model
    c = agent.config
    save_encoder(agent.critic.encoder, path, c.embed_dim, c.frame_size, c.hidden)


def write_ranking(path):
    "Write the ranking of all models on the held-out users; the table."
    table = recnn.evaluate([model(name) for name in MODELS], log())
    with atomic_write(path) as part: table.rename_axis("model").to_csv(part, lineterminator="\n")
    return table


def notice(path):
    "Copy the terms of the sample."
    shutil.copyfile(ROOT / "recnn" / "sample" / "NOTICE.txt", path)


WRITERS = {  # file: the function that writes it
    "static.hdf5": lambda p: write_static(recnn.Dataset(log(), None, 10), p, "gzip"),
    "vectors.safetensors": lambda p: vectors().save(p),
    "records.json": write_records,
    "record_encoder.safetensors": lambda p: encoded()[0].save(p),
    "state_encoder.safetensors": write_encoder,
    **{f"{m}.safetensors": lambda p, m=m: model(m).save(p) for m in MODELS},
    "ranking.csv": write_ranking,
    "NOTICE.txt": notice}
ABOUT = {  # file: what it is, in a word and in a sentence
    "static.hdf5": ("static data set", "every window of 10+1 ratings as item ids and rewards, with the keys "
                    "movies, ratings and done, for h5py or `recnn.Log.open`"),
    "vectors.safetensors": ("vectors", "item vectors of dimension 64 from texts, genres and histories, for "
                            "`recnn.ItemVectors.load`"),
    "records.json": ("records", "item id: title, genres and year, as labels and standardised numbers; what "
                     "MovieLens does not tell is null"),
    "record_encoder.safetensors": ("record encoder", "names behind the labels of the records, for "
                                   "`recnn.items.encode.RecordEncoder.load`"),
    "state_encoder.safetensors": ("state encoder", "GRU from the last 10 ratings to 128 features, trained as "
                                  "a part of TD3+BC, for `recnn.agents.encoders.load_encoder`"),
    **{f"{m}.safetensors": ("model", f"the model {find_model(m).label}") for m in MODELS},
    "ranking.csv": ("ranking", "`recnn.evaluate` of all models on the held-out users"),
    "NOTICE.txt": ("notice", "terms of the MovieLens data and of what is made from them")}
FILES = {Path(file).stem.lower(): file for file in WRITERS}  # name: file


def readme(names, folder, table, versions):
    "The README of a bundle."
    size = lambda file: f"{(folder / file).stat().st_size / 1e3:,.0f}"
    rows = [f"| `{n}` | {FILES[n]} | {size(FILES[n])} | {ABOUT[FILES[n]][1]} |" for n in names]
    made = ", ".join(f"{k} {v}" for k, v in versions.items())
    checked = CHECKED.format(**{part: len(log().users(part)) for part in ("train", "valid", "test")})
    parts = ["# Data, vectors and models of recnn", ABOUT_BUNDLE.format(made=made),
             "\n".join(["| name | file | kB | what it is |", "|---|---|---:|---|", *rows]), checked]
    if table is not None:
        protocol = f"Protocol: {_markdown(table.attrs['protocol'])}."
        chance = "Differences of less than two standard errors (s.e.) may be chance."
        parts += ["## How well the models rank", protocol, _markdown_table(table), chance]
    return "\n\n".join([*parts, TERMS_TEXT]) + "\n"


def main():
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=f"files to make (default: all): {', '.join(FILES)}")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "bundle", metavar="FOLDER",
                        help="default: dist/bundle")
    parser.add_argument("--force", action="store_true", help="write into a folder that is not empty")
    args = parser.parse_args()
    unknown = set(args.names) - set(FILES)
    if unknown: parser.error(f"no file is called {min(unknown)!r}; there are {', '.join(FILES)}")
    names = [n for n in FILES if not args.names or n in args.names or n == "notice"]
    if args.out.is_dir() and any(args.out.iterdir()) and not args.force:
        sys.exit(f"{args.out}: is not empty; say --force to write into it, or --out FOLDER")
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / _MANIFEST).unlink(missing_ok=True)
    table, begin = None, time.time()
    for i, name in enumerate(names, 1):
        start, file = time.time(), FILES[name]
        made = WRITERS[file](args.out / file)
        if name == "ranking": table = made
        size = (args.out / file).stat().st_size / 1e6
        print(f"{i:2}/{len(names)}  {file}: {size:.1f} MB, {time.time() - start:.0f} s", flush=True)
    versions = dict(recnn=recnn.__version__, torch=torch.__version__, numpy=numpy.__version__,
                    python=platform.python_version())
    with atomic_write(args.out / "README.md") as part:
        part.write_text(readme(names, args.out, table, versions), encoding="utf-8")
    about = ABOUT | {"README.md": ("readme", "what the bundle holds")}
    entries = {n: dict(file=f, kind=about[f][0], what=about[f][1].replace("`", ""), licence=TERMS)
               for n, f in [*((n, FILES[n]) for n in names), ("readme", "README.md")]}
    command = " ".join(["python tools/release.py", *args.names])
    _write_manifest(args.out, entries, made_by=command, versions=versions)
    total = sum(p.stat().st_size for p in args.out.iterdir()) / 1e6
    print(f"{args.out}: {len(entries)} files, {total:.0f} MB, {time.time() - begin:.0f} s")


if __name__ == "__main__": main()
