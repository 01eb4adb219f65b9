"""Training on one GPU: TD3 by graphs, a pass over ML-20M's shape, an epoch on histories, the default agent.

    python bench/gpu.py [--rounds 7]
    python bench/gpu.py --smoke     the same code on the CPU, on a small log; nothing is recorded or written

Log, vectors and networks lie on the GPU. TD3 trains as in bench/agents.py, on batches of 256 windows of ten
items of dimension 128: update by update, the same with products in bfloat16, by graphs, and d3rlpy without
and with its `compile_graph`, where d3rlpy is installed. All take turns; a figure is the median over rounds,
a ratio the median of the ratios within a round. The first turn warms up and does not count.

The pass delivers every window of a log of ML-20M's shape once, shuffled, in batches of 16,384, and includes
the permutation, which the host draws (`permutation_s`). The epoch trains behaviour cloning on all histories
of that log in pieces of 512 steps, width 64, two blocks of two heads, a softmax over all items, batches of
64 pieces in bfloat16, update by update and by graphs. `peak_gb` is the largest memory that torch held. Last,
`recnn.fit`'s default agent trains on the bundled sample, with random vectors, both ways, all its updates.

Writes bench/results/gpu.json. Without a GPU it says so and writes nothing.
"""
import logging
import os
import statistics
import time
from itertools import islice
from types import SimpleNamespace

os.environ["RECNN_PROGRESS"] = "0"
import torch

from agents import d3rlpy_agent, dense_buffer, find_d3rlpy, new_agent, open_data, ours, ours_half, rate
from record import command_line, record
from sequences import ml20m_log
from recnn.agents.bc import BehaviourCloning
from recnn.agents.graphs import _Graphs
from recnn.agents.processes import _Group
from recnn.agents.reward_weighted import RewardWeighted
from recnn.agents.td3 import TD3
from recnn.data.log import load_sample
from recnn.data.windows import Dataset
from recnn.vectors import ItemVectors

BATCH, PASS_BATCH = 256, 16_384
HISTORIES = dict(hidden=64, embed_dim=64, n_blocks=2, heads=2, critic="none", n_sampled=0)


def graphs(agent, smoke, precision="float32"):
    "A function of a batch that updates an agent by graphs; without recordings in a smoke test."
    update = _Graphs(_Group(agent, []), precision)
    if smoke: update.graph, update.warm = SimpleNamespace(warm=lambda f, agent: f()), 10**9
    return update


def by_graphs(data, smoke):
    "A function that makes one update of TD3 by graphs."
    agent, source = new_agent(TD3, data, BATCH), data.batches(BATCH, epochs=None)
    update = graphs(agent, smoke)
    return lambda: update(next(source))


def train(args, device):
    "Updates per second of TD3."
    data = open_data(device)
    steps = dict(eager=ours(TD3, data, BATCH), bfloat16=ours_half(TD3, data, BATCH),
                 graphs=by_graphs(data, args.smoke))
    d3rlpy = find_d3rlpy()
    if d3rlpy:
        dense = dense_buffer(data, 20_000)
        buffer = d3rlpy.dataset.MDPDataset(*dense[:3], dense[4])
        for name, compiled in (("d3rlpy", False), ("d3rlpy_compiled", True)):
            steps[name] = d3rlpy_agent(d3rlpy, "TD3", buffer, BATCH, data.device, compile_graph=compiled)
    n = 4 if args.smoke else 500
    rounds = [{k: rate(f, n, data.device) for k, f in steps.items()} for _ in range(args.rounds + 1)][1:]
    out = {f"td3_{k}_updates_per_s": round(statistics.median(r[k] for r in rounds), 1) for k in steps}
    for k in steps:
        if k != "graphs":
            out[f"td3_graphs_over_{k}"] = round(statistics.median(r["graphs"] / r[k] for r in rounds), 3)
    return out


def finished(device):
    "Seconds by the clock, once the GPU has done what it was asked for."
    if device != "cpu": torch.cuda.synchronize()
    return time.perf_counter()


def random_vectors(log, dim):
    "Random item vectors for a log."
    matrix = torch.randn(log.n_items, dim, generator=torch.Generator().manual_seed(0))
    return ItemVectors(log.item_ids, matrix, log.titles)


def walk(log, device, rounds):
    "Seconds of a shuffled pass over all windows."
    data, times, drawn = Dataset(log, random_vectors(log, 128), 10, device=device), [], []
    for i in range(rounds + 1):
        start = finished(device)
        torch.randperm(len(data), generator=torch.Generator().manual_seed(i), dtype=torch.int32).to(device)
        middle, n = finished(device), 0
        for batch in data.batches(PASS_BATCH, seed=i): n += len(batch.done)
        times.append(finished(device) - middle)
        drawn.append(middle - start)
        if n != len(data): raise RuntimeError(f"{n} windows of {len(data)} delivered")
    written = len(data) * 11 * 129 * 4 / 1e9
    median = lambda x: round(statistics.median(x[1:]), 3)
    return dict(pass_windows=n, pass_written_gb=round(written, 1), pass_s=median(times),
                permutation_s=median(drawn))


def epoch(log, device, smoke, recorded):
    "Seconds and memory of an epoch of behaviour cloning on histories, after a few updates to warm up."
    length, size = (16, 8) if smoke else (512, 64)
    data = Dataset(log, random_vectors(log, 64), 10, device=device)
    config = BehaviourCloning.config_class(frame_size=length, batch_size=size, **HISTORIES)
    agent = BehaviourCloning(config, 0, device)
    agent.prepare(data)
    group = _Group(agent, [])
    update = graphs(agent, smoke, "bfloat16") if recorded else lambda b: group.update(b, "bfloat16")
    for batch in islice(agent.batches(data, 1, 0), 6): update(batch)
    if device != "cpu": torch.cuda.reset_peak_memory_stats()
    n, start = data.n_sequences(size, length), finished(device)
    for batch in islice(agent.batches(data, 0, 0), n): loss = update(batch)["actor_loss"]
    out = dict(s=round(finished(device) - start, 2), updates=n, loss=round(float(loss), 4))
    if device != "cpu": out["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return {f"epoch_{'graphs' if recorded else 'eager'}_{k}": v for k, v in out.items()}


def default(device, smoke):
    "Seconds of training the default agent on the sample, after a short run to warm up."
    log = load_sample()
    data = Dataset(log, random_vectors(log, 64), 50, pad=True, device=device)
    def seconds(recorded, updates):
        start = finished(device)
        agent = RewardWeighted.learn(data, device=device, updates=updates, fit_options=dict(graphs=recorded))
        return round(finished(device) - start, 2), agent.n_updates
    found = {}
    for how in ("eager", "graphs"):
        recorded = how == "graphs" and not smoke
        seconds(recorded, 2 if smoke else 50)
        found[f"default_{how}_s"], found["default_updates"] = seconds(recorded, 2 if smoke else None)
    return found


def main():
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="run on the CPU, small, and write nothing")
    args = parser.parse_args()
    if not (args.smoke or torch.cuda.is_available()):
        print("no GPU: nothing is measured, and nothing written")
        return
    logging.disable(logging.WARNING)
    device = "cpu" if args.smoke else "cuda"
    if args.smoke: args.rounds = 1
    figures = {} if args.smoke else dict(gpu=torch.cuda.get_device_name())
    log = ml20m_log(40, 4000, 300) if args.smoke else ml20m_log()
    parts = (lambda: train(args, device), lambda: walk(log, device, args.rounds),
             lambda: epoch(log, device, args.smoke, False), lambda: epoch(log, device, args.smoke, True),
             lambda: default(device, args.smoke))
    for part in parts:
        found = part()
        print(found, flush=True)
        figures |= found
    if args.smoke: print("a smoke test on the CPU: these numbers are no measurement, and nothing is written")
    else: record("gpu", figures)


if __name__ == "__main__": main()
