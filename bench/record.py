"""Results of benchmarks as JSON, with the machine and the commit that they come from."""
import argparse
import json
import os
import platform
import subprocess
from pathlib import Path

import torch

from recnn.io import atomic_write

RESULTS = Path(__file__).resolve().parent / "results"


def machine():
    "Describe the machine in words."
    cpu = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        names = (line for line in open("/proc/cpuinfo") if line.startswith("model name"))
        cpu = next((line.partition(":")[2].strip() for line in names), cpu)
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{cpu}, {os.cpu_count()} cores, {system}, torch {torch.__version__}"


def command_line(text):
    "An argument parser that shows a script's docstring."
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def git(*words):
    "Output of a git command; empty outside a repository."
    command = ["git", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=RESULTS.parent).stdout.strip()


def commit():
    "Short hash of the commit, with a plus where the tree differs from it in more than results."
    others = ("--untracked-files=no", "--", ":/", ":(exclude,top)bench/results")
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", *others) else "")


def as_json(head, lists):
    "A JSON object of some values and some lists, a row of a list on a line."
    text = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, rows in lists.items():
        text.append(f"{json.dumps(key)}: [\n" + ",\n".join(map(json.dumps, rows)) + "\n]")
    return "{" + ",\n".join(text) + "}\n"


def write(name, text):
    "Write bench/results/<name>.json, whole or not at all."
    path = RESULTS / f"{name}.json"
    with atomic_write(path) as part: part.write_text(text)
    return path


def record(name, figures):
    "Write the figures of one run and print where they are."
    path = write(name, json.dumps(dict(machine=machine(), commit=commit(), figures=figures), indent=1) + "\n")
    print(f"{machine()}\n{path}")


def read(name):
    "A results file, or an empty dict; rows that say `film`, as files of older versions do, say `item` here."
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text().replace("film", "item")) if path.is_file() else {}


def rounded(row, digits=5):
    "A row with its floats rounded."
    return {k: round(v, digits) if isinstance(v, float) else v for k, v in row.items()}


class Table:
    "Rows of a results file that is written again after each row."
    def __init__(self,
        name,                      # file below bench/results; None: rows are printed alone
        key,                       # columns that identify a row: a new row replaces the one with the same key
        stale=lambda row: False,   # rows of the file as it is that the first new row removes
        **head,                    # further entries of the file
    ):
        self.name, self.key, self.head, self.commit = name, key, head, commit()
        self.stale = [r for r in self.rows() if stale(r)]

    def rows(self):
        "Rows of the file; it is read anew, since another run may write to it as well."
        return read(self.name).get("rows", []) if self.name else []

    def add(self, row, hidden=()):
        "Add a row, write the file, and print the row without its `hidden` columns."
        row = row | dict(commit=self.commit)
        print(json.dumps({k: v for k, v in row.items() if k not in hidden}), flush=True)
        same = lambda other: all(other.get(k) == row.get(k) for k in self.key)
        rows = [r for r in self.rows() if r not in self.stale and not same(r)]
        if self.name: write(self.name, as_json(dict(machine=machine()) | self.head, dict(rows=[*rows, row])))
