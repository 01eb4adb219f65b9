"""How often the intervals of off-policy estimates hold the truth.

    python bench/off_policy.py

Many small logs are drawn from planted worlds, where the value of a policy is known by simulation. In the world `visible` the
state says all about tastes, in `hidden` tastes are not in the state, in `confounded` people also choose by them. For each log,
horizon and estimator it is noted whether intervals of several levels hold the truth, with propensities known and learnt from
another log. Writes bench/results/off_policy.json.
"""
import argparse, json, sys, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import numpy as np
import torch

from recnn.evaluation.off_policy import (ESTIMATORS, ChoiceModel, PlantedWorld, Softmax, bootstrap, chosen_log_prob, discounted,
                              effective_sample, policy_features, ratios)
from record import RESULTS, commit, machine

torch.set_num_threads(1)
WORLDS = dict(visible={}, hidden=dict(hidden=1.), confounded=dict(hidden=1., confounded=.5))
HORIZONS, LEVELS, GAMMA, FOLLOW = (1, 3, 6, 10), (.5, .8, .9, .95), .9, (8., .8)


def true_values(world, policy, n, seed=1):
    "Value of a policy at every horizon, and the largest standard error."
    returns = [discounted(world.simulate(n, h, np.random.default_rng([seed, h]), policy)[0].rewards, GAMMA) for h in HORIZONS]
    return dict(zip(HORIZONS, (r.mean() for r in returns))), max(r.std() for r in returns) / n**.5


def one_log(world, policy, users, n_boot, rng):
    "Yield (horizon, propensities, estimator, value, ends of the intervals, effective users) for one log."
    learn, ask = (world.simulate(users, max(HORIZONS), rng) for _ in range(2))
    choice = dict(known=ask[1], learnt=chosen_log_prob(Softmax(ChoiceModel(learn[0])), ask[0]))
    sets = [(*policy_features(policy, e), e.rewards) for e in (learn[0], ask[0])]
    for propensities, log_b in choice.items():
        ratio = ratios(policy, log_b, ask[0])
        for h in HORIZONS:
            mine, theirs = ((phi[:, :h], bar[:, :h + 1], reward[:, :h]) for phi, bar, reward in sets)
            value, draws = bootstrap(ratio[:, :h], theirs, mine, GAMMA, n_boot, seed=int(rng.integers(1 << 31)))
            for name in ESTIMATORS:
                n = effective_sample(ratio[:, :h], steps=name == "FQE")
                ends = [np.quantile(draws[name], [(1 - level) / 2, (1 + level) / 2]) for level in LEVELS]
                yield (h, propensities, name), value[name], ends, n.min() if name == "FQE" else n[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=200); parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--boot", type=int, default=100); parser.add_argument("--truth", type=int, default=30_000)
    args = parser.parse_args()
    rows, error, start = [], 0., time.process_time()
    for place, (name, settings) in enumerate(WORLDS.items()):
        world, found = PlantedWorld(**settings), {}
        policy = Softmax(world.follow(*FOLLOW))
        truth, se = true_values(world, policy, args.truth); error = max(error, se)
        for i in range(args.logs):
            for key, value, ends, n in one_log(world, policy, args.users, args.boot, np.random.default_rng([place, i])):
                h = key[0]
                found.setdefault(key, []).append([value - truth[h], ends[2][1] - ends[2][0], n, *(a <= truth[h] <= b for a, b in ends)])
        for (h, propensities, estimator), x in found.items():
            x = np.array(x, float); mean = x.mean(0)
            rows.append(dict(world=name, horizon=h, propensities=propensities, estimator=estimator, truth=truth[h], bias=mean[0], spread=x[:, 0].std(),
                             width=mean[1], effective=mean[2], **{f"in {level:.0%}": c for level, c in zip(LEVELS, mean[3:])}))
        print(f"{name}: {args.logs} logs, {time.process_time() - start:.0f} s of processor time so far", flush=True)
    rounded = [{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    head = dict(machine=machine(), commit=commit(), **vars(args), gamma=GAMMA, follow=FOLLOW, truth_error=float(f"{error:.2g}"))
    (RESULTS / "off_policy.json").write_text(json.dumps(head)[:-1] + ',\n"rows": [\n' + ",\n".join(map(json.dumps, rounded)) + "\n]}\n")


if __name__ == "__main__": main()
