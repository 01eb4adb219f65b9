"""Workers, commands and ranks killed while a log is divided into parts, and while two processes train."""
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from campaigns import ROOT
from campaigns.kills import INPUTS, arrays_of, run_command, wait_for, write_inputs
from campaigns.tries import CRASH, HANG, RIGHT, WRONG, generator
from recnn.data.build import build_shards
from recnn.data.planted import large_ratings

PARTS = 12
CLUSTER = """import sys
from dask.distributed import LocalCluster
with LocalCluster(2, threads_per_worker=1, dashboard_address=None) as c:
    print(c.scheduler_address, flush=True)
    sys.stdin.read()
"""
WAYS = "worker", "command", "dask worker", "dask client", "rank"
ENV = dict(PYTHONPATH=str(ROOT), RECNN_PROGRESS="0", OMP_NUM_THREADS="1")


def spawned(pid):
    "Process ids of the workers that a process has started."
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, file.read_text().split()):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes(): found.append(child)
    return found


def finished():
    "Parts that are finished, with the times of their last change."
    return {f.name: f.stat().st_mtime_ns for f in Path("data").glob("part-*")}


def prepare(source, scheduler):
    "Start a build."
    words = "prepare", "--ratings", source, "--shards", str(PARTS), "--scheduler", scheduler, "--out", "data"
    with open("command.txt", "a") as out:
        return subprocess.Popen([sys.executable, "-m", "recnn", *words], env=os.environ | ENV, stdout=out,
                                stderr=subprocess.STDOUT)


def kill_during(command, victims, n, wait):
    "Kill one of `victims()` when n parts are finished and some seconds have passed: what was finished then."
    end = time.monotonic() + 60
    while len(finished()) < n or not victims():
        if command.poll() is not None or time.monotonic() > end: return None
        time.sleep(.005)
    time.sleep(wait)
    with contextlib.suppress(ProcessLookupError, IndexError):
        os.kill(random.choice(victims()), signal.SIGKILL)
    return finished()


def built(way, rng, source, want, cluster):
    "Kill a worker or the command, and give the command again where it was the command."
    with_dask = way.startswith("dask")
    scheduler = cluster.address if with_dask else "processes:2"
    command = prepare(source, scheduler)
    one = [command.pid] if way in ("command", "dask client") else None
    victims = lambda: one or spawned(cluster.process.pid if with_dask else command.pid)
    story = f"{way}, {scheduler}"
    kept = kill_during(command, victims, int(rng.integers(0, PARTS)), rng.uniform(0, .1))
    if kept is None: return CRASH, f"{story}: nothing to kill; {Path('command.txt').read_text()[-200:]}"
    if one:
        command.wait(10)
        kept = finished()
        command = prepare(source, scheduler)
    try: status = command.wait(120)
    except subprocess.TimeoutExpired:
        command.kill()
        return HANG, f"{story}: no end"
    told = Path("command.txt").read_text()[-200:]
    if status: return CRASH, f"{story} ends with {status}: {told}"
    found = json.loads(Path("data/manifest.json").read_text())["parts"]
    if found != want: return WRONG, f"{story}: other parts"
    again = [name for name, at in kept.items() if finished()[name] != at]
    if again: return WRONG, f"{story}: built again: {again}"
    return (WRONG, f"{story}: {os.listdir('data')}") if len(os.listdir("data")) > PARTS + 1 else (RIGHT, "")


def ranks(folder):
    "Start two processes that train together."
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        group = dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(s.getsockname()[1]))
    before, started = dict(os.environ), []
    for r in "01":
        os.environ.update(group | dict(RANK=r, LOCAL_RANK=r))
        started.append(run_command("td3", folder, None, often=True))
    os.environ.clear()
    os.environ.update(before)
    return started


def trained(rng, folder, want, seconds):
    "Kill a rank, and give the command again."
    for file in INPUTS: shutil.copy(Path(folder) / file, ".")
    started = ranks(".")
    wait, victim = rng.uniform(0, seconds), int(rng.integers(2))
    time.sleep(wait)
    os.kill(started[victim], signal.SIGKILL)
    ends = [wait_for(pid, 100.) for pid in started]
    story = f"rank {victim} after {wait:.2f} s of {seconds:.2f}: {ends}"
    if None in ends: return HANG, f"{story}: a process does not end"
    ends = [wait_for(pid, 100.) for pid in ranks(".")]
    told = Path("command.txt").read_text()[-200:]
    if ends != [0, 0]: return CRASH, f"{story}, then {ends}: {told}"
    return (RIGHT, "") if arrays_of("td3", ".") == want else (WRONG, f"{story}: another model")


class Cluster:
    "A dask cluster with two workers in processes of their own."
    def __enter__(self):
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        command = [sys.executable, "-c", CLUSTER]
        self.process = subprocess.Popen(command, env=os.environ | ENV, text=True, **pipes)
        self.address = self.process.stdout.readline().strip()
        return self
    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(20)


class PartKills:
    "Inputs, a cluster and the undisturbed results."
    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.cluster = self.stack.enter_context(Cluster())
        self.source = str(self.folder / "ratings.parquet")
        large_ratings(10_000, n_ratings=1_500_000).to_parquet(self.source)
        self.parts = build_shards(self.source, self.folder / "whole", PARTS).manifest["parts"]
        write_inputs(self.folder)
        whole, start = self.folder / "train", time.monotonic()
        whole.mkdir()
        for file in INPUTS: shutil.copy(self.folder / file, whole)
        ends = [wait_for(pid) for pid in ranks(whole)]
        if ends != [0, 0]: raise RuntimeError(f"training ends with {ends}")
        self.seconds, self.model = time.monotonic() - start, arrays_of("td3", whole)
        return self
    def __exit__(self, *_): self.stack.close()
    def one(self, seed, i):
        rng, way = generator("parts", seed, i), WAYS[i % len(WAYS)]
        random.seed(i)
        if way == "rank": return trained(rng, self.folder, self.model, self.seconds)
        return built(way, rng, self.source, self.parts, self.cluster)
