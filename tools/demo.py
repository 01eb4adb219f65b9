"""Make the data of the demo's page from the bundled sample, in docs/demo/data.

    python tools/demo.py            some ten minutes on one core; needs the extras onnx and umap
    python tools/demo.py --check    compare the files with those that manifest.json names, in a second

Vectors, training and map have fixed seeds, and torch runs on one thread, so that a second run on the same
machine and versions writes the same bytes. The files are committed; the site and its tests only read them.
docs/demo/ort holds onnxruntime-web, whose files ort.json names. A build of the site keeps both folders.
"""
import argparse
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "docs" / "demo"
LARGEST = 12_000_000  # bytes of docs/demo
EXAMPLES = {
    "Space": [("Alien", 5), ("Star Wars: Episode IV", 5), ("2001: A Space Odyssey", 4.5), ("Apollo 13", 4),
              ("Starship Troopers", 2)],
    "Nights of horror": [("The Shining", 5), ("Psycho (1960)", 5), ("The Exorcist", 4.5), ("Scream", 4),
                         ("Titanic (1997)", 1)],
    "Family": [("Toy Story", 5), ("The Lion King", 5), ("Finding Nemo", 4.5), ("Shrek", 4),
               ("Pulp Fiction", 1.5)],
    "Romance": [("Casablanca", 5), ("When Harry Met Sally...", 5), ("Notting Hill", 4), ("Amelie", 4.5),
                ("Die Hard", 2)],
    "Gangsters": [("The Godfather", 5), ("Goodfellas", 5), ("Pulp Fiction", 4.5), ("Reservoir Dogs", 4.5),
                  ("Shrek", 2)],
}


def check():
    "Findings about files that are missing, changed or too large."
    total = sum(p.stat().st_size for p in DEMO.rglob("*") if p.is_file())
    if total > LARGEST: yield f"{DEMO}: {total:,} bytes, {LARGEST:,} at most"
    named = ("data/manifest.json", "ort/ort.json")
    for path in (DEMO / name for name in named):
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        for name, about in files.items():
            file = path.parent / name
            if not file.is_file(): yield f"{file}: missing"
            elif hashlib.sha256(file.read_bytes()).hexdigest() != about["sha256"]:
                yield f"{file}: not the file that {path.name} names"


def write(vectors):
    "Train, and write the data."
    os.environ.setdefault("RECNN_PROGRESS", "0")
    import torch

    from recnn.app.demo import write_demo
    from recnn.data.log import load_sample
    from recnn.vectors import ItemVectors
    torch.set_num_threads(1)
    log, data = load_sample(), DEMO / "data"
    manifest = write_demo(data, log, vectors and ItemVectors.load(vectors), EXAMPLES)
    shutil.copy(ROOT / "recnn" / "sample" / "NOTICE.txt", data / "NOTICE.txt")
    for name, shown in manifest["models"].items():
        item, n = shown["first"][0]
        print(f"{name:10} {shown['distinct']:4} first films, {log.titles[item]}: {n} of {shown['users']}")
    print({name: file["bytes"] for name, file in manifest["files"].items()}, manifest["overlap"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare the files with the manifest only")
    parser.add_argument("--vectors", metavar="FILE", help="vectors of the sample, of `recnn embed`")
    args = parser.parse_args()
    if not args.check: write(args.vectors)
    findings = list(check())
    for line in findings: print(line)
    sys.exit(bool(findings))
