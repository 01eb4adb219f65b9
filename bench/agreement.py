"""Do our discrete CQL and BCQ compute what those of d3rlpy compute?

    python bench/agreement.py

Losses: agents with random weights and a batch of transitions; the classes of d3rlpy get the same tables of Q,
of its slow copy and of the behaviour policy. Targets, each part of the loss, and the item that is recommended
first are compared. d3rlpy has Huber's loss, so rewards are small enough for every error to lie below 1, where
it is half the square. Its CQL knows the best item as a target alone, so ours runs with greedy=True.

Learned values: histories of three of five items, so that the states are 25 histories of one or two items.
Both libraries train on them, each with networks and an optimiser of its own, and Q of all pairs of a state
and an item that occur is compared; so is the exact solution, a table that minimises the same loss.

Ends with an error where a difference exceeds its tolerance. Without d3rlpy nothing is measured.
Writes bench/results/agreement.json.
"""
import os
import sys
from types import SimpleNamespace

os.environ["RECNN_PROGRESS"] = "0"
import numpy as np
import pandas as pd
import torch
from torch import nn

from agents import find_d3rlpy
from record import command_line, record
from recnn.agents.agent import random_batch
from recnn.agents.bcq import BCQ, BCQConfig, _constrain
from recnn.agents.cql import CQL, CQLConfig
from recnn.agents.fit import fit
from recnn.data.log import make_log
from recnn.data.sequences import SequenceBatch
from recnn.data.windows import Dataset
from recnn.vectors import ItemVectors

SETTINGS = {"CQL": (CQL, CQLConfig, dict(greedy=True)), "BCQ": (BCQ, BCQConfig, {})}
LOSS_TOLERANCE, VALUE_TOLERANCE = 1e-5, .05  # relative; root mean square, of the range of the exact values


class Lookup(nn.Module):
    "A network of d3rlpy that looks its outputs up: x [B,1] holds rows of the table."
    def __init__(self, table, wrap):
        super().__init__()
        self.wrap, self.table = wrap, nn.Parameter(table)

    def forward(self, x): return self.wrap(self.table[x[:, 0].long()])


def d3rlpy_side(d3rlpy, name, q, slow, logits, gamma, weight):
    "An agent of d3rlpy whose networks are tables: q and slow [2,S,N], logits [S,N]."
    from d3rlpy.algos.qlearning.torch import bcq_impl, cql_impl, dqn_impl
    from d3rlpy.models.torch import DiscreteEnsembleQFunctionForwarder, DiscreteMeanQFunctionForwarder
    from d3rlpy.models.torch.q_functions.base import QFunctionOutput
    n = q.shape[2]
    def wrap(values): return QFunctionOutput(values, None, None)
    nets = [nn.ModuleList(Lookup(t, wrap) for t in x) for x in (q, slow.clone())]
    forwarders = [DiscreteEnsembleQFunctionForwarder([DiscreteMeanQFunctionForwarder(f, n) for f in x], n)
                  for x in nets]
    shared = dict(observation_shape=(1,), action_size=n, q_func_forwarder=forwarders[0], gamma=gamma,
                  targ_q_func_forwarder=forwarders[1], target_update_interval=1, compiled=False, device="cpu")
    if name == "CQL":
        modules = dqn_impl.DQNModules(*nets, optim=None)
        impl = cql_impl.DiscreteCQLImpl(modules=modules, alpha=weight, **shared)
    else:
        imitator = Lookup(logits, lambda z: SimpleNamespace(logits=z))
        modules = bcq_impl.DiscreteBCQModules(*nets, optim=None, imitator=imitator)
        impl = bcq_impl.DiscreteBCQImpl(modules=modules, action_flexibility=weight, beta=0., **shared)
    for net, table in zip(nets[1], slow): net.table.data.copy_(table)  # the constructor copies q into it
    return impl


def tables(agent, batch):
    "Q and its slow copy [2,2B,N] and logits [2B,N] in the states before and after the steps of windows."
    out = []
    for critic in (agent.critic, agent.critic_target):
        before, after = agent.before_and_after(critic, batch)
        out.append(critic.all(torch.cat([before, after[:, -1]])))
    x = agent.actor(batch.items, batch.rewards)
    return *out, agent.actor.logits(torch.cat([x[:, -2], x[:, -1]]))


def apart(a, b): return ((a - b).abs().max() / b.abs().max().clamp(min=1e-8)).item()


def losses(d3rlpy, name, seed, n=64, n_items=50):
    "Largest relative difference of targets and losses for one set of random weights."
    cls, config, options = SETTINGS[name]
    windows, matrix = random_batch(torch.Generator().manual_seed(seed), n, n_items=n_items)
    windows = windows._replace(reward=windows.reward * .1)
    batch = SequenceBatch.of(windows)
    agent = cls(config(embed_dim=4, hidden=16, dropout=0., n_sampled=0, **options), seed)
    agent.use_items(matrix)
    for critic in (agent.critic, agent.critic_target):
        critic.bias.data += .1 * torch.randn(critic.bias.shape, generator=agent.generator)
        for p in (*critic.vectors.parameters(), *critic.levels.parameters()): p.data *= .05
    weight = agent.config.alpha if name == "CQL" else agent.config.threshold
    with torch.no_grad():
        q, slow, logits = tables(agent, batch)
        y = agent.targets(batch)[1]
        state = agent.state(windows.held, windows.state[..., -1])
        first = agent.scores(state).argmax(1)
    theirs = d3rlpy_side(d3rlpy, name, q, slow, logits, agent.config.gamma, weight)
    rows = torch.arange(2 * n)[:, None].float()
    x = SimpleNamespace(observations=rows[:n], next_observations=rows[n:], intervals=1,
                        actions=windows.item.long()[:, None], rewards=windows.reward[:, None],
                        terminals=windows.done.float()[:, None])
    target = theirs.compute_target(x)
    their_y = (x.rewards + agent.config.gamma * target * (1 - x.terminals))[:, 0]
    error = (q[:, torch.arange(n), windows.item.long()] - y).abs().max().item()
    if error >= 1: raise SystemExit(f"an error of {error:.2f} is beyond the square part of Huber's loss")
    with torch.no_grad(): loss = theirs.compute_loss(x, target)
    logs = agent.update(batch)  # its losses are those before the step
    out = dict(target=apart(y, their_y), td_loss=apart(logs["critic_loss"] / 2, loss.td_loss))
    if name == "CQL": out["conservative_loss"] = apart(logs["conservative_loss"], loss.conservative_loss)
    else: out["imitator_loss"] = apart(logs["actor_loss"], loss.imitator_loss)
    out["other_first_item"] = (first != theirs.inner_predict_best_action(rows[:n])).float().mean().item()
    return out


def small_log(n_users=4000, seed=0):
    "Histories [U,3] of distinct items of five, and rewards [U,3], which depend on the item before."
    rng = np.random.default_rng(seed)
    after = np.array([0, .5, .3, .1, .1])[(np.arange(5) - np.arange(5)[:, None]) % 5]
    table = rng.integers(11, size=(5, 5)) / 10
    item = rng.integers(5, size=(n_users, 1))
    for _ in range(2):
        p = after[item[:, -1]]
        np.put_along_axis(p, item, 0, 1)  # nobody rates an item twice
        drawn = rng.random((n_users, 1)) * p.sum(1, keepdims=True) > p.cumsum(1)
        item = np.c_[item, drawn.sum(1)]
    return item, np.c_[np.full(n_users, .5), table[item[:, :-1], item[:, 1:]]]


def transitions(item, reward):
    "State, action, reward, next state and done of all steps; a state is the number of a history."
    state = np.c_[item[:, 0], 5 + 5 * item[:, 0] + item[:, 1]]
    done = np.tile(np.float32([0, 1]), (len(item), 1))
    after = np.c_[state[:, 1], state[:, 1]]  # of what is done, no matter
    return [x.ravel() for x in (state, item[:, 1:], reward[:, 1:].astype(np.float32), after, done)]


def exact(name, item, reward, gamma, weight, steps=4000):
    "The table [30,5] of Q that minimises the loss of an algorithm on a log, and where its pairs occur."
    s, a, r, after, done = map(torch.from_numpy, transitions(item, reward))
    counts = torch.zeros(30, 5).index_put((s, a), torch.tensor(1.), accumulate=True)
    q = torch.full((30, 5), 1., requires_grad=True)
    optimizer = torch.optim.Adam([q], .01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        allowed = q.detach() if name == "CQL" else _constrain((counts + 1e-9).log(), q.detach(), weight)
        y = r + gamma * (1 - done) * q.detach()[after, allowed.argmax(1)[after]]
        loss = (q[s, a] - y).square().mean() / 2
        if name == "CQL": loss = loss + weight * (q.logsumexp(1)[s] - q[s, a]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return q.detach(), counts > 0


def ours(name, item, reward, gamma, weight, seed, n_updates):
    "Q [30,5] of our agent, trained on a log; 0 for histories that do not occur."
    cls, config, options = SETTINGS[name]
    frame = pd.DataFrame(dict(user_id=np.repeat(np.arange(len(item)), 3), item_id=item.ravel(),
                              rating=reward.ravel(), timestamp=np.tile(np.arange(3), len(item))))
    log = make_log(frame, rewards=(0., 1.))
    data = Dataset(log, ItemVectors(log.item_ids, torch.eye(5), log.titles), 2, pad=True)
    options = options | {"alpha" if name == "CQL" else "threshold": weight}
    agent = cls(config(frame_size=2, embed_dim=5, encoder="gru", n_blocks=1, dropout=0., n_sampled=0,
                       gamma=gamma, batch_size=128, critic_lr=.01, tau=.05, **options), seed)
    fit(agent, data, n_updates, seed)
    state, *_ = transitions(item, reward)
    held = np.stack([np.c_[np.full(len(item), -1), item[:, 0]], item[:, :2]], 1).reshape(-1, 2)
    rewards = np.stack([np.c_[np.zeros(len(item)), reward[:, 0]], reward[:, :2]], 1).reshape(-1, 2)
    known, first = np.unique(state, return_index=True)
    q = torch.zeros(30, 5)
    q[known] = agent.q_items(agent.state(torch.from_numpy(held[first]), torch.from_numpy(rewards[first])),
                             torch.arange(5).expand(len(known), -1))
    return q


def d3rlpys(d3rlpy, name, item, reward, gamma, weight, seed, n_updates):
    "Q [30,5] of d3rlpy's agent, trained on the same log."
    d3rlpy.seed(seed)
    state, action, r, _, done = transitions(item, reward)
    one_hot = np.eye(30, dtype=np.float32)
    buffer = d3rlpy.dataset.MDPDataset(one_hot[state], action[:, None], r, done, action_size=5,
                                       action_space=d3rlpy.ActionSpace.DISCRETE)
    config = getattr(d3rlpy.algos, f"Discrete{name}Config")
    options = dict(alpha=weight) if name == "CQL" else dict(action_flexibility=weight, beta=0.)
    agent = config(batch_size=256, gamma=gamma, n_critics=2, learning_rate=1e-3, target_update_interval=50,
                   encoder_factory=d3rlpy.models.VectorEncoderFactory([64]), **options).create(device="cpu")
    agent.build_with_dataset(buffer)
    for _ in range(n_updates): agent.update(buffer.sample_transition_batch(256))
    return torch.from_numpy(np.stack([agent.predict_value(one_hot, np.full(30, a)) for a in range(5)], 1))


def values(d3rlpy, name, gamma, weight, seed, n_updates):
    "Differences of learned values, root mean square and largest, in fractions of their range."
    item, reward = small_log()
    table, occurs = exact(name, item, reward, gamma, weight)
    a = ours(name, item, reward, gamma, weight, seed, n_updates)
    b = d3rlpys(d3rlpy, name, item, reward, gamma, weight, seed, n_updates)
    table, a, b = (x[occurs] for x in (table, a, b))
    span = (table.max() - table.min()).item()
    far = {}
    for key, x in dict(ours_d3rlpy=a - b, ours_exact=a - table, d3rlpy_exact=b - table).items():
        far[key], far[f"{key}_max"] = x.square().mean().sqrt().item() / span, x.abs().max().item() / span
    correlation = np.corrcoef(a, b)[0, 1]
    return dict(gamma=gamma, weight=weight, range=span, correlation=float(correlation), **far)


def main():
    parser = command_line(__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="sets of random weights")
    parser.add_argument("--updates", type=int, default=1200, help="updates of the learned values")
    args = parser.parse_args()
    torch.set_num_threads(1)
    d3rlpy = find_d3rlpy()
    if d3rlpy is None: return
    figures = dict(d3rlpy=d3rlpy.__version__, seeds=args.seeds, updates=args.updates,
                   loss_tolerance=LOSS_TOLERANCE, value_tolerance=VALUE_TOLERANCE)
    for name, weight in (("CQL", .3), ("BCQ", .3)):  # alpha and threshold of the learned values
        rows = [losses(d3rlpy, name, seed) for seed in range(args.seeds)]
        loss = {k: max(r[k] for r in rows) for k in rows[0]}
        value = values(d3rlpy, name, .9, weight, 0, args.updates)
        figures[name] = dict(losses={k: float(f"{v:.2g}") for k, v in loss.items()},
                             values={k: round(v, 4) for k, v in value.items()})
        print(name, figures[name], flush=True)
    wrong = [n for n in SETTINGS if max(figures[n]["losses"].values()) > LOSS_TOLERANCE
             or figures[n]["values"]["ours_d3rlpy"] > VALUE_TOLERANCE]
    if wrong: sys.exit(f"beyond the tolerance: {wrong}")
    record("agreement", figures)


if __name__ == "__main__": main()
