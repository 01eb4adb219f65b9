"""Requests per second and latency of `recnn serve` on loopback.

    python bench/serving.py [--requests 600] [--seconds 8] [--threads 2]

The default agent on the bundled sample, after a few updates, since the time of an answer does not depend on
training: from its own file, with torch, and from its ONNX file. A process serves, and this one asks: 1, 8 and
64 clients with a connection each send the next question when they have the answer to the last. A question is
one history of 20 rated items, by id, and asks for 10 items. Each setting ends after `--requests` questions or
`--seconds`, whichever comes first; answers other than 200 are counted. Server and clients share the machine,
so `load`, the number of processes that waited for a core in the minute before, belongs to the figures.

Writes bench/results/serving.json.
"""
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np

from record import command_line, record
from recnn.app.recommender import fit
from recnn.data.log import load_sample

SERVE = """import argparse
from recnn.app.serve import _serve, _serve_arguments
parser = argparse.ArgumentParser()
_serve_arguments(parser)
_serve(parser.parse_args())"""


def questions(item_ids, n=200, length=20, seed=0):
    "HTTP requests as bytes."
    rng = np.random.default_rng(seed)
    for _ in range(n):
        items = rng.choice(item_ids, length, replace=False).tolist()
        ratings = (rng.integers(1, 11, length) / 2).tolist()
        body = json.dumps(dict(history=[dict(item=i, rating=r) for i, r in zip(items, ratings)], k=10))
        yield (f"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


async def ask(reader, writer, question):
    "Status of the answer to a question."
    writer.write(question)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(head.split("content-length:")[1].split()[0]))
    return int(head.split()[1])


async def client(port, texts, state):
    "Ask until the questions or the time are used up."
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while state["left"] > 0 and time.perf_counter() < state["end"]:
        state["left"] -= 1
        begin = time.perf_counter()
        status = await ask(reader, writer, texts[state["left"] % len(texts)])
        state["times"].append(time.perf_counter() - begin)
        state["failed"] += status != 200
    writer.close()


async def load(port, texts, clients, requests, seconds):
    "Figures of some clients."
    begin = time.perf_counter()
    state = dict(left=requests, end=begin + seconds, times=[], failed=0)
    await asyncio.gather(*(client(port, texts, state) for _ in range(clients)))
    wall, ms = time.perf_counter() - begin, np.array(state["times"]) * 1e3
    return dict(clients=clients, requests=len(ms), failed=state["failed"],
                requests_per_s=round(len(ms) / wall, 1), p50_ms=round(float(np.quantile(ms, .5)), 1),
                p99_ms=round(float(np.quantile(ms, .99)), 1), load=round(os.getloadavg()[0], 1))


def measure(model, texts, args):
    "Serve a file in a process of its own, and put it under load."
    command = [sys.executable, "-c", SERVE, "--model", model, "--port", "0", "--threads", str(args.threads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = int(server.stdout.readline().split()[0].rstrip("/").rpartition(":")[2])
            asyncio.run(load(port, texts, 1, 20, 30))  # what is loaded at the first question is there
            rows = [asyncio.run(load(port, texts, n, args.requests, args.seconds)) for n in (1, 8, 64)]
            server.send_signal(signal.SIGTERM)
            if server.wait(30): raise RuntimeError(f"the server ended with status {server.returncode}")
        finally: server.kill()
    return rows


def main():
    parser = command_line(__doc__)
    parser.add_argument("--requests", type=int, default=600, help="most questions of a setting")
    parser.add_argument("--seconds", type=float, default=8, help="most seconds of a setting")
    parser.add_argument("--threads", type=int, default=2, help="threads of the server")
    args = parser.parse_args()
    log = load_sample()
    texts, rows = list(questions(log.item_ids)), []
    with tempfile.TemporaryDirectory() as folder:
        model = fit("default", log, updates=20)
        model.save(f"{folder}/model")
        model.export(f"{folder}/model.onnx")
        for engine, file in dict(torch="model", onnx="model.onnx").items():
            for row in measure(f"{folder}/{file}", texts, args):
                rows.append(dict(engine=engine, threads=args.threads) | row)
                print(json.dumps(rows[-1]), flush=True)
    record("serving", rows)


if __name__ == "__main__": main()
