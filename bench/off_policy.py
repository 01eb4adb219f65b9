"""How often the intervals of off-policy estimates contain the truth.

    python bench/off_policy.py

Many small logs are drawn from planted worlds, where the value of a policy is known by simulation. In the
world `visible` the state contains everything about tastes, in `hidden` it does not, and in `confounded`
people also choose by what the state does not contain. For each log, horizon and estimator, with propensities
known and learned from another log, the script counts whether intervals of several confidence levels contain
the truth.

Writes bench/results/off_policy.json.
"""
import time

import numpy as np
import torch

from record import as_json, command_line, commit, machine, write
from recnn.evaluation.episodes import ChoiceModel, Softmax
from recnn.evaluation.off_policy import _ESTIMATORS, _bootstrap, _effective_sample, _policy_features, _ratios
from recnn.evaluation.planted_world import PlantedWorld

WORLDS = dict(visible={}, hidden=dict(hidden=1.), confounded=dict(hidden=1., confounded=.5))
HORIZONS, LEVELS, GAMMA, FOLLOW = (1, 3, 6, 10), (.5, .8, .9, .95), .9, (8., .8)


def true_values(world, policy, n, seed=1):
    "Value of a policy at every horizon, and the largest standard error."
    rng = lambda h: np.random.default_rng([seed, h])
    returns = [world.simulate(n, h, rng(h), policy)[0].returns(GAMMA) for h in HORIZONS]
    return dict(zip(HORIZONS, (r.mean() for r in returns))), max(r.std() for r in returns) / n**.5


def intervals(draws):
    "Ends of the intervals of all confidence levels."
    return [np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]) for level in LEVELS]


def one_log(world, policy, users, n_boot, rng):
    "Yield (horizon, propensities, estimator), value, ends of the intervals and effective users for one log."
    learn, ask = (world.simulate(users, max(HORIZONS), rng) for _ in range(2))
    choice = dict(known=ask[1], learned=ask[0].log_prob(Softmax(ChoiceModel(learn[0]))))
    sets = [(*_policy_features(policy, e), e.earned) for e in (learn[0], ask[0])]
    for propensities, log_b in choice.items():
        ratio = _ratios(policy, log_b, ask[0])
        for h in HORIZONS:
            mine, theirs = ((phi[:, :h], bar[:, :h + 1], reward[:, :h]) for phi, bar, reward in sets)
            seed = int(rng.integers(1 << 31))
            value, draws = _bootstrap(ratio[:, :h], theirs, mine, GAMMA, n_boot, seed=seed)
            for name in _ESTIMATORS:
                n = _effective_sample(ratio[:, :h], steps=name == "FQE")
                effective = n.min() if name == "FQE" else n[-1]
                yield (h, propensities, name), value[name], intervals(draws[name]), effective


def world_rows(name, place, args):
    "Rows of one world, and the standard error of its true values."
    world, found = PlantedWorld(**WORLDS[name]), {}
    policy = Softmax(world.follow(*FOLLOW))
    truth, error = true_values(world, policy, args.truth)
    for i in range(args.logs):
        rng = np.random.default_rng([place, i])
        for key, value, ends, n in one_log(world, policy, args.users, args.boot, rng):
            t = truth[key[0]]
            covered = (a <= t <= b for a, b in ends)
            found.setdefault(key, []).append([value - t, ends[2][1] - ends[2][0], n, *covered])
    return [coverage_row(name, key, truth, np.array(x, float)) for key, x in found.items()], error


def coverage_row(name, key, truth, x):
    "Bias, spread, width and coverage over the logs."
    h, propensities, estimator = key
    bias, width, effective, *covered = x.mean(0)
    row = dict(world=name, horizon=h, propensities=propensities, estimator=estimator, truth=truth[h])
    row |= dict(bias=bias, spread=x[:, 0].std(), width=width, effective=effective)
    row |= {f"in {level:.0%}": c for level, c in zip(LEVELS, covered)}
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}


def main():
    parser = command_line(__doc__)
    parser.add_argument("--logs", type=int, default=200, help="logs of each world")
    parser.add_argument("--users", type=int, default=300, help="users of a log")
    parser.add_argument("--boot", type=int, default=100, help="bootstrap resamples")
    parser.add_argument("--truth", type=int, default=30_000, help="users of the simulation of the true value")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, error, start = [], 0., time.process_time()
    for place, name in enumerate(WORLDS):
        more, e = world_rows(name, place, args)
        rows, error = rows + more, max(error, e)
        print(f"{name}: {args.logs} logs, {time.process_time() - start:.0f} s of CPU time so far", flush=True)
    head = dict(machine=machine(), commit=commit(), **vars(args), gamma=GAMMA, follow=FOLLOW,
                truth_error=float(f"{error:.2g}"))
    print(write("off_policy", as_json(head, dict(rows=rows))))


if __name__ == "__main__": main()
