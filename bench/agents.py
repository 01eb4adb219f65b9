"""Updates a second of TD3 and DDPG at the seed's sizes, data delivery included, beside two other implementations.

    python bench/agents.py [--rounds 7] [--batch 256 4096] [--device cpu]

All train actors 1290-256-256-128 and critics (1290+128)-256-256-1 on windows of ten films of 128 numbers. Ours takes its
batches from the static data set; the CleanRL-style step, written here after that library's manner (one file, a network for
each critic, Adam as it comes, targets moved weight by weight), draws from a buffer of dense transitions; d3rlpy runs its own
networks, set to the same sizes, on its own replay buffer. All take turns in one process; a figure is the median over
rounds, and a ratio the median of the ratios within a round. Ours runs a second time with products in bfloat16. Last come the
profile, milliseconds of the parts of an update, and the arithmetic: products of an update, and how fast this machine does them.
"""
import argparse, logging, os, statistics, sys, tempfile, time
from pathlib import Path

os.environ["RECNN_PROGRESS"] = "0"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from recnn.data.windows import TransitionDataset, build_dataset
from recnn.agents.ddpg import DDPG, DDPGConfig, ddpg_target
from recnn.items.text import ItemEmbeddings
from recnn.data.log import check_ratings, make_log
from recnn.agents.td3 import TD3, TD3Config, td3_target
from recnn.agents.fit import move_targets
from record import record

DIM, FRAME, HIDDEN = 128, 10, 256


class CleanActor(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(FRAME * (DIM + 1), HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, DIM)
    def forward(self, x): return 3 * torch.tanh(self.out(F.relu(self.fc2(F.relu(self.fc1(x))))))


class CleanCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(FRAME * (DIM + 1) + DIM, HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 1)
    def forward(self, x, a): return self.out(F.relu(self.fc2(F.relu(self.fc1(torch.cat([x, a], 1))))))


class CleanStyle:
    "One-file TD3 or DDPG on a buffer of dense transitions."
    def __init__(self, batches, n_critics, batch_size, device):
        self.states, self.actions, self.rewards, self.next_states, self.dones = batches
        self.rng, self.batch_size, self.device, self.n = np.random.default_rng(0), batch_size, device, 0
        self.actor, self.actor_target = CleanActor().to(device), CleanActor().to(device)
        self.critics, self.targets = ([CleanCritic().to(device) for _ in range(n_critics)] for _ in range(2))
        self.q_optimizer = torch.optim.Adam([p for c in self.critics for p in c.parameters()], lr=1e-3)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=1e-4)

    def sample(self):
        i = self.rng.integers(len(self.states), size=self.batch_size)
        return (torch.as_tensor(x[i], device=self.device) for x in (self.states, self.actions, self.rewards, self.next_states, self.dones))

    def update(self):
        state, action, reward, next_state, done = self.sample()
        twin = len(self.critics) == 2
        with torch.no_grad():
            next_action = self.actor_target(next_state)
            if twin: next_action = (next_action + (torch.randn_like(action) * .2).clamp(-.5, .5)).clamp(-3, 3)
            values = [t(next_state, next_action) for t in self.targets]
            target = reward + (1 - done) * .9 * (torch.min(*values) if twin else values[0]).view(-1)
        loss = sum(F.mse_loss(c(state, action).view(-1), target) for c in self.critics)
        self.q_optimizer.zero_grad(); loss.backward(); self.q_optimizer.step()
        self.n += 1
        if twin and self.n % 2: return
        actor_loss = -self.critics[0](state, self.actor(state)).mean()
        self.actor_optimizer.zero_grad(); actor_loss.backward(); self.actor_optimizer.step()
        for source, target in zip([self.actor, *self.critics], [self.actor_target, *self.targets]):
            for p, t in zip(source.parameters(), target.parameters()): t.data.copy_(.005 * p.data + .995 * t.data)


def ours(cls, config, data, batch_size, device):
    agent = cls(config(bound="tanh", batch_size=batch_size), device=device)
    source = data.batches(batch_size, epochs=None)
    return lambda: agent.update(next(source))


def ours_half(cls, config, data, batch_size, device):
    step = ours(cls, config, data, batch_size, device)
    def half():
        with torch.autocast(torch.device(device).type, torch.bfloat16): step()
    return half


def profile(cls, config, target, data, batch_size, device, n):
    "Milliseconds of each part of an update."
    agent, source, spent = cls(config(bound="tanh", batch_size=batch_size), device=device), data.batches(batch_size, epochs=None), {}
    def clock(part, work, *args):
        start = time.perf_counter(); out = work(*args)
        if device != "cpu": torch.cuda.synchronize()
        spent[part] = spent.get(part, 0) + time.perf_counter() - start
        return out
    actor_weights = list(agent.actor.parameters())
    for i in range(n):
        b = clock("batch", next, source)
        y = clock("target", target, agent, b)
        loss = clock("critic forward", lambda: (agent.critic(b.state, b.action) - y).square().mean(1).sum())
        agent.critic_optimizer.zero_grad()
        clock("critic backward", loss.backward)
        clock("critic Adam", agent.critic_optimizer.step)
        if (i + 1) % getattr(agent.config, "policy_delay", 1): continue
        loss = clock("actor forward", lambda: -agent.critic.first(b.state, agent.actor(b.state)).mean())
        for p, g in zip(actor_weights, clock("actor backward", torch.autograd.grad, loss, actor_weights)): p.grad = g
        clock("actor Adam", agent.actor_optimizer.step)
        clock("slow copies", move_targets, agent)
    return {k: round(1e3 * v / n, 3) for k, v in spent.items()}


def arithmetic(cls, config, data, batch_size, device, repeats=20):
    "GFLOP of the products of a mean update, and GFLOP a second of the largest of them alone."
    step, n = ours(cls, config, data, batch_size, device), 4
    with FlopCounterMode(display=False) as count:
        for _ in range(n): step()
    x, w = torch.randn(batch_size, FRAME * (DIM + 1) + DIM, device=device), torch.randn(FRAME * (DIM + 1) + DIM, 2 * HIDDEN, device=device)
    alone = statistics.median(rate(lambda: x @ w, 2, device) for _ in range(repeats))
    return count.get_total_flops() / n / 1e9, 2 * x.shape[0] * w.numel() * alone / 1e9


def d3rlpy_agent(cls, buffer, batch_size, device):
    import d3rlpy
    nets = dict(actor_encoder_factory=d3rlpy.models.VectorEncoderFactory([HIDDEN, HIDDEN]), critic_encoder_factory=d3rlpy.models.VectorEncoderFactory([HIDDEN, HIDDEN]))
    algo = cls(batch_size=batch_size, gamma=.9, actor_learning_rate=1e-4, critic_learning_rate=1e-3, **nets).create(device=device)
    algo.build_with_dataset(buffer)
    return lambda: algo.update(buffer.sample_transition_batch(batch_size))


def rate(step, n, device):
    if device != "cpu": torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(n): step()
    if device != "cpu": torch.cuda.synchronize()
    return n / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7); parser.add_argument("--batch", type=int, nargs="+", default=[256, 4096])
    parser.add_argument("--device", default="cpu"); parser.add_argument("--seconds", type=float, default=1., help="a turn")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count())); parser.add_argument("--rows", type=int, default=20_000, help="dense transitions")
    args = parser.parse_args()
    torch.set_num_threads(args.threads); torch.manual_seed(0)
    logging.disable(logging.WARNING)
    import d3rlpy, structlog
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        build_dataset(check_ratings(make_log(2000, 5000, 200_000)), Path(folder) / "data.hdf5")
        ids = np.arange(1, 25_001)
        films = ItemEmbeddings(ids, torch.randn(len(ids), DIM), [""] * len(ids))
        data = TransitionDataset(Path(folder) / "data.hdf5", films, args.device)
        b = data[torch.arange(args.rows)]
        dense = [x.cpu().float().flatten(1).squeeze(1).numpy() for x in (b.state, b.action, b.reward[:, None], b.next_state, b.done[:, None])]
        dense[4][-1] = 1
        buffer = d3rlpy.dataset.MDPDataset(dense[0], np.ascontiguousarray(dense[1]), dense[2], dense[4])
        figures = dict(device=args.device, threads=args.threads)
        for name, cls, config, theirs, target in (("td3", TD3, TD3Config, d3rlpy.algos.TD3Config, td3_target), ("ddpg", DDPG, DDPGConfig, d3rlpy.algos.DDPGConfig, ddpg_target)):
            for batch_size in args.batch:
                steps = {"": ours(cls, config, data, batch_size, args.device), "_bfloat16": ours_half(cls, config, data, batch_size, args.device), "_cleanrl_style": CleanStyle(dense, 2 if cls is TD3 else 1, batch_size, args.device).update,
                         "_d3rlpy": d3rlpy_agent(theirs, buffer, batch_size, args.device)}
                rates = {k: [] for k in steps}
                n = {k: max(2, int(rate(s, 4, args.device) * args.seconds)) for k, s in steps.items()}
                for _ in range(args.rounds):
                    for k, s in steps.items(): rates[k].append(rate(s, n[k], args.device))
                end = "" if batch_size == 256 else f"_{batch_size}"
                for k, r in rates.items(): figures[f"{name}{k}_updates_per_s{end}"] = round(statistics.median(r), 1)
                for k in ("_cleanrl_style", "_d3rlpy"): figures[f"{name}_over{k}{end}"] = round(statistics.median(a / b for a, b in zip(rates[""], rates[k])), 3)
                figures[f"{name}_bfloat16_over_float32{end}"] = round(statistics.median(a / b for a, b in zip(rates["_bfloat16"], rates[""])), 3)
                figures[f"{name}_profile_ms{end}"] = profile(cls, config, target, data, batch_size, args.device, max(4, 2 * n[""]))
                work, alone = arithmetic(cls, config, data, batch_size, args.device)
                figures |= {f"{name}_gflop_per_update{end}": round(work, 3), f"{name}_gflop_per_s{end}": round(work * figures[f"{name}_updates_per_s{end}"], 1), f"matmul_gflop_per_s{end}": round(alone, 1)}
                print({k: v for k, v in figures.items() if k.startswith(name)}, flush=True)
    record("agents" if args.device == "cpu" else f"agents-{args.device}", figures)


if __name__ == "__main__": main()
