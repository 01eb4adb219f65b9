"""Updates per second of TD3 and DDPG, data delivery included, beside two other implementations.

    python bench/agents.py [--rounds 7] [--batch 256 4096] [--device cpu]

All train actors 1290-256-256-128 and critics (1290+128)-256-256-1 on windows of ten items with vectors of
dimension 128. Ours takes its batches from a data set. The CleanRL-style step, written here in the manner of
that library (one file, a network for each critic, Adam with its defaults, targets moved weight by weight),
samples from a buffer of dense transitions. d3rlpy runs its own networks, set to the same sizes, on its own
replay buffer; without d3rlpy its figures are left out.

All take turns in one process; a figure is the median over rounds, and a ratio the median of the ratios within
a round. Ours runs a second time with products in bfloat16. Last come the profile, milliseconds of the parts
of an update, and the arithmetic: products of an update, and how fast this machine computes them.

Writes bench/results/agents.json, or agents-cuda.json with --device cuda.
"""
import logging
import os
import statistics
import time

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from record import command_line, record
from recnn.agents.agent import move_targets
from recnn.agents.ddpg import DDPG
from recnn.agents.td3 import TD3
from recnn.data.log import make_log
from recnn.data.planted import large_ratings
from recnn.data.tables import check_ratings
from recnn.data.windows import Dataset
from recnn.vectors import ItemVectors

DIM, FRAME, HIDDEN = 128, 10, 256
STATE = FRAME * (DIM + 1)


def layers(*widths):
    "Linear layers from width to width."
    return [nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:])]


class CleanActor(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.out = layers(STATE, HIDDEN, HIDDEN, DIM)
    def forward(self, x): return 3 * torch.tanh(self.out(F.relu(self.fc2(F.relu(self.fc1(x))))))


class CleanCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.out = layers(STATE + DIM, HIDDEN, HIDDEN, 1)
    def forward(self, x, a): return self.out(F.relu(self.fc2(F.relu(self.fc1(torch.cat([x, a], 1))))))


class CleanStyle:
    "One-file TD3 or DDPG on a buffer of dense transitions."
    def __init__(self, dense, n_critics, batch_size, device):
        self.dense, self.batch_size, self.device, self.n = dense, batch_size, device, 0
        self.rng = np.random.default_rng(0)
        self.actor, self.actor_target = CleanActor().to(device), CleanActor().to(device)
        self.critics, self.targets = ([CleanCritic().to(device) for _ in range(n_critics)] for _ in range(2))
        self.q_optimizer = torch.optim.Adam([p for c in self.critics for p in c.parameters()], lr=1e-3)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=1e-4)

    def sample(self):
        i = self.rng.integers(len(self.dense[0]), size=self.batch_size)
        return (torch.as_tensor(x[i], device=self.device) for x in self.dense)

    def update(self):
        state, action, reward, next_state, done = self.sample()
        twin = len(self.critics) == 2
        with torch.no_grad():
            next_action = self.actor_target(next_state)
            noise = (torch.randn_like(action) * .2).clamp(-.5, .5)
            if twin: next_action = (next_action + noise).clamp(-3, 3)
            values = [t(next_state, next_action) for t in self.targets]
            target = reward + (1 - done) * .9 * (torch.min(*values) if twin else values[0]).view(-1)
        loss = sum(F.mse_loss(c(state, action).view(-1), target) for c in self.critics)
        self.q_optimizer.zero_grad()
        loss.backward()
        self.q_optimizer.step()
        self.n += 1
        if not twin or self.n % 2 == 0: self.update_actor(state)

    def update_actor(self, state):
        loss = -self.critics[0](state, self.actor(state)).mean()
        self.actor_optimizer.zero_grad()
        loss.backward()
        self.actor_optimizer.step()
        for source, target in zip([self.actor, *self.critics], [self.actor_target, *self.targets]):
            for p, t in zip(source.parameters(), target.parameters()):
                t.data.copy_(.005 * p.data + .995 * t.data)


def new_agent(cls, data, batch_size):
    "An agent with the bound of the papers."
    config = cls.config_class(bound="tanh", batch_size=batch_size)
    return cls(config, device=str(data.device))


def ours(cls, data, batch_size):
    "A function that makes one update of an agent of recnn."
    agent, source = new_agent(cls, data, batch_size), data.batches(batch_size, epochs=None)
    return lambda: agent.update(next(source))


def ours_half(cls, data, batch_size):
    "The same with products in bfloat16."
    step = ours(cls, data, batch_size)

    def half():
        with torch.autocast(data.device.type, torch.bfloat16): step()
    return half


class Clock:
    "Seconds that parts of an update take."
    def __init__(self, device): self.device, self.spent = device, {}
    def __call__(self, part, work, *args):
        start = time.perf_counter()
        out = work(*args)
        if self.device.type != "cpu": torch.cuda.synchronize()
        self.spent[part] = self.spent.get(part, 0) + time.perf_counter() - start
        return out


def timed_step(clock, name, optimizer, loss):
    "One step of an optimiser, as `recnn.agents.nets.step` makes it, in two parts."
    weights = [p for group in optimizer.param_groups for p in group["params"]]

    def backward():
        for p, g in zip(weights, torch.autograd.grad(loss, weights)): p.grad = g.contiguous()
    clock(f"{name} backward", backward)
    clock(f"{name} Adam", optimizer.step)


def profile(cls, data, batch_size, n):
    "Milliseconds of each part of an update."
    agent, clock = new_agent(cls, data, batch_size), Clock(data.device)
    source = data.batches(batch_size, epochs=None)
    for i in range(n):
        b = clock("batch", next, source)
        with torch.no_grad(): y = clock("target", agent.target, b)
        loss = clock("critic forward", lambda: (agent.critic(b.state, b.action) - y).square().mean(1).sum())
        timed_step(clock, "critic", agent.critic_optimizer, loss)
        if (i + 1) % getattr(agent.config, "policy_delay", 1): continue
        loss = clock("actor forward", lambda: -agent.critic.first(b.state, agent.actor(b.state)).mean())
        timed_step(clock, "actor", agent.actor_optimizer, loss)
        clock("slow copies", move_targets, agent)
    return {k: round(1e3 * v / n, 3) for k, v in clock.spent.items()}


def arithmetic(cls, data, batch_size, repeats=20):
    "GFLOP of the products of a mean update, and GFLOP per second of the largest of them alone."
    step, n, device = ours(cls, data, batch_size), 4, data.device
    with FlopCounterMode(display=False) as count:
        for _ in range(n): step()
    shapes = (batch_size, STATE + DIM), (STATE + DIM, 2 * HIDDEN)
    x, w = (torch.randn(shape, device=device) for shape in shapes)
    alone = statistics.median(rate(lambda: x @ w, 2, device) for _ in range(repeats))
    return count.get_total_flops() / n / 1e9, 2 * batch_size * w.numel() * alone / 1e9


def find_d3rlpy():
    "The module d3rlpy with its messages off, or None and one printed line."
    try:
        import d3rlpy
        import structlog
    except ImportError as e:
        print(f"d3rlpy is left out ({e}); pip install 'recnn-rl[bench]' installs it")
        return None
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return d3rlpy


def d3rlpy_agent(d3rlpy, name, buffer, batch_size, device, **options):
    "A function that makes one update of an agent of d3rlpy."
    config = getattr(d3rlpy.algos, f"{name}Config")
    nets = {f"{net}_encoder_factory": d3rlpy.models.VectorEncoderFactory([HIDDEN, HIDDEN])
            for net in ("actor", "critic")}
    rates = dict(actor_learning_rate=1e-4, critic_learning_rate=1e-3)
    algo = config(batch_size=batch_size, gamma=.9, **rates, **nets, **options).create(device=str(device))
    algo.build_with_dataset(buffer)
    return lambda: algo.update(buffer.sample_transition_batch(batch_size))


def rate(step, n, device):
    "Calls of a function per second."
    if device.type != "cpu": torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(n): step()
    if device.type != "cpu": torch.cuda.synchronize()
    return n / (time.perf_counter() - start)


def open_data(device):
    "Windows of a synthetic log with random vectors."
    log = make_log(check_ratings(large_ratings(2000, 5000, 200_000)))
    vectors = ItemVectors(log.item_ids, torch.randn(log.n_items, DIM), log.titles)
    return Dataset(log, vectors, FRAME, device=device)


def dense_buffer(data, rows):
    "State, action, reward, next state and done of the first windows, as flat arrays."
    b = data.windows(slice(0, rows))
    fields = b.state.flatten(1), b.action, b.reward, b.next_state.flatten(1), b.done
    dense = [np.ascontiguousarray(x.cpu().float().numpy()) for x in fields]
    dense[4][-1] = 1
    return dense


def compare(cls, data, dense, d3rlpy, batch_size, args):
    "Figures of one algorithm and batch size."
    name, device = cls.__name__.lower(), data.device
    end = "" if batch_size == 256 else f"_{batch_size}"
    clean = CleanStyle(dense, 2 if cls is TD3 else 1, batch_size, device)
    steps = {"": ours(cls, data, batch_size), "_bfloat16": ours_half(cls, data, batch_size),
             "_cleanrl_style": clean.update}
    if d3rlpy:
        buffer = d3rlpy.dataset.MDPDataset(*dense[:3], dense[4])
        steps["_d3rlpy"] = d3rlpy_agent(d3rlpy, cls.__name__, buffer, batch_size, device)
    n = {k: max(2, int(rate(s, 4, device) * args.seconds)) for k, s in steps.items()}
    rounds = [{k: rate(s, n[k], device) for k, s in steps.items()} for _ in range(args.rounds)]
    median = lambda f: statistics.median(f(r) for r in rounds)
    out = {f"{name}{k}_updates_per_s{end}": round(median(lambda r: r[k]), 1) for k in steps}
    for k in list(steps)[2:]: out[f"{name}_over{k}{end}"] = round(median(lambda r: r[""] / r[k]), 3)
    out[f"{name}_bfloat16_over_float32{end}"] = round(median(lambda r: r["_bfloat16"] / r[""]), 3)
    out[f"{name}_profile_ms{end}"] = profile(cls, data, batch_size, max(4, 2 * n[""]))
    work, alone = arithmetic(cls, data, batch_size)
    return out | {f"{name}_gflop_per_update{end}": round(work, 3),
                  f"{name}_gflop_per_s{end}": round(work * out[f"{name}_updates_per_s{end}"], 1),
                  f"matmul_gflop_per_s{end}": round(alone, 1)}


def main():
    parser = command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 4096])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=1., help="duration of a turn")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count()))
    parser.add_argument("--rows", type=int, default=20_000, help="dense transitions")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    logging.disable(logging.WARNING)
    d3rlpy, data = find_d3rlpy(), open_data(args.device)
    dense, figures = dense_buffer(data, args.rows), dict(device=args.device, threads=args.threads)
    for cls in (TD3, DDPG):
        for batch_size in args.batch:
            found = compare(cls, data, dense, d3rlpy, batch_size, args)
            print(found, flush=True)
            figures |= found
    record("agents" if args.device == "cpu" else f"agents-{args.device}", figures)


if __name__ == "__main__": main()
