"""How often intervals of off-policy estimates contain the value that a policy had in a real shop.

    python bench/bandit.py --data FOLDER

FOLDER holds logs of the Open Bandit Dataset (Saito et al. 2020, arXiv:2008.07146) as <policy>-<campaign>.csv
or .csv.xz, for the policies random and bts. The shop used both policies at the same time, so the value of
one, estimated from the log of the other, is compared with the mean click rate of its own log. For many
subsamples of each log the script counts how often the interval of the estimate contains this rate, and how
often the interval of the difference between them contains 0, which also allows for the noise of the rate.
Planted shops, whose true values are known and whose logs are independent, stand beside the real one; without
--data only they are measured.

Writes bench/results/bandit.json.
"""
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from record import as_json, command_line, commit, machine, write
from recnn.evaluation.bandit import _bandit_draws, _Shop, read_bandit
from recnn.evaluation.off_policy import _effective_sample
from recnn.evaluation.statistics import bootstrap_means, interval

CAMPAIGNS, SIZES, BINS = ("all", "men", "women"), (500, 2000), (0, 2, 5, 10, 20, 1000)
KINDS = {  # policy of the log -> how its propensities are found -> options of an estimate
    "random": {"known": {}, "by position": dict(propensities=("position",))},
    "learning": {"known": {}, "known, weight at most 20": dict(max_weight=20.),
                 "by position": dict(propensities=("position",)),
                 "by position and day": dict(propensities=("position", "day"))}}


def real(folder, campaign):
    "For each policy of a log: a sampler of it, the other policy, and the rewards in the other's own log."
    def path(policy):
        found = sorted(Path(folder).glob(f"{policy}-{campaign}.csv*"))
        if not found: raise FileNotFoundError(f"{folder}: no {policy}-{campaign}.csv or .csv.xz")
        return found[0]
    random = read_bandit(path("random"))
    bts = read_bandit(path("bts"), items=random.items)
    def some(log, n, rng): return log if n is None else log.part(rng.choice(len(log), n, replace=False))
    uniform = np.full(len(random.items), 1 / len(random.items))
    return {"random": (partial(some, random), bts.frequencies(), bts.reward),
            "learning": (partial(some, bts), uniform, random.reward)}


def planted(rate):
    "The same of a planted shop, with the true value for the rewards."
    shop = _Shop(rate)
    target = {name: p.mean(0) for name, p in shop.policies.items()}
    return {"random": (partial(shop.log, "random"), target["learning"], np.array([shop.value("learning")])),
            "learning": (partial(shop.log, "learning"), target["random"], np.array([shop.value("random")]))}


def one_log(log, target, options, truth, noise, n_boot, seed):
    "Yield estimator and figures of one log: `noise` are errors [n_boot] of the truth."
    value, draws, weights = _bandit_draws(log, target, n_boot=n_boot, seed=seed, **options)
    for name in ("IS", "SNIPS", "DR"):
        x = value[name]
        low, high = interval(draws[name])
        apart = interval(draws[name] - truth - noise)
        yield name, dict(value=x, low=low, high=high, holds=float(low <= truth <= high),
                         difference=float(apart[0] <= 0 <= apart[1]), effective=_effective_sample(weights)[0],
                         rewarded=_effective_sample(weights * log.reward[:, None])[0],
                         weight=weights.mean(), clicks=log.reward.sum())


def figures(row):
    "A row with four digits of each number."
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}


def errors(rewards, n_boot):
    "Errors [n_boot] of the mean of some rewards by the bootstrap; a true value has none."
    if len(rewards) == 1: return np.zeros(n_boot)
    return bootstrap_means(rewards, n_boot, seed=12345) - rewards.mean()


def many_logs(world, name, n, args):
    "Yield a row for each of many logs of n impressions, kind of propensities and estimator."
    for place, (policy, (draw, target, rewards)) in enumerate(world.items()):
        truth, noise = rewards.mean(), errors(rewards, args.boot)
        for i in range(args.logs):
            log = draw(n, np.random.default_rng([place, n, i]))
            for kind, options in KINDS[policy].items():
                key = dict(world=name, log=policy, rows=n, propensities=kind)
                for estimator, x in one_log(log, target, options, truth, noise, args.boot, i):
                    yield key | dict(estimator=estimator, truth=truth, error=x["value"] - truth,
                                     width=x["high"] - x["low"], below=float(x["high"] < truth)) | x


def coverage(logs):
    "Bias, errors and coverage over the logs, a row for each world, policy, size, kind and estimator."
    for key, x in logs.groupby(["world", "log", "rows", "propensities", "estimator"], sort=False):
        row = dict(zip(("world", "log", "rows", "propensities", "estimator"), key))
        row |= dict(truth=x.truth.mean(), bias=x.error.mean(), rmse=(x.error**2).mean()**.5)
        row |= {k: x[k].mean() for k in ("holds", "difference", "below", "width", "weight", "clicks")}
        yield figures(row | {k: x[k].median() for k in ("effective", "rewarded")})


def by_rewarded(logs):
    "Coverage by the effective number of rewarded rows, over all sizes of real and of planted shops."
    kind = logs.world.where(~logs.world.isin(CAMPAIGNS), "real").str.replace(",.*", "", regex=True)
    bins = pd.cut(logs.rewarded, BINS, labels=BINS[1:], include_lowest=True)
    keys = [kind, "log", "propensities", "estimator", bins]
    for key, x in logs.groupby(keys, sort=False, observed=True):
        row = dict(zip(("world", "log", "propensities", "estimator", "most"), key), logs=len(x))
        yield figures(row | {k: x[k].mean() for k in ("holds", "difference", "below")})


def whole(world, name, n_boot=300):
    "Rows of the whole logs of a real shop, with 95 % intervals of the truth."
    for policy, (draw, target, rewards) in world.items():
        log, noise = draw(None, None), errors(rewards, n_boot)
        truth = dict(zip(("truth", "truth_low", "truth_high"), rewards.mean() + np.r_[0, interval(noise)]))
        for kind, options in KINDS[policy].items():
            for estimator, x in one_log(log, target, options, truth["truth"], noise, n_boot, 0):
                row = dict(world=name, log=policy, propensities=kind, estimator=estimator)
                yield figures(row | truth | x)


def main():
    parser = command_line(__doc__)
    parser.add_argument("--data", help="folder of the logs")
    parser.add_argument("--logs", type=int, default=120, help="logs or subsamples of each size")
    parser.add_argument("--boot", type=int, default=100, help="bootstrap resamples")
    args = parser.parse_args()
    torch.set_num_threads(1)
    worlds = {c: real(args.data, c) for c in CAMPAIGNS} if args.data else {}
    start, full, rows = time.process_time(), [r for c in worlds for r in whole(worlds[c], c)], []
    worlds |= {"planted": planted(.0045), "planted, 10 times the clicks": planted(.045)}
    for name, world in worlds.items():
        for n in SIZES: rows += many_logs(world, name, n, args)
        print(f"{name}: {time.process_time() - start:.0f} s of CPU time so far", flush=True)
    logs = pd.DataFrame(rows)
    head = dict(machine=machine(), commit=commit(), logs=args.logs, boot=args.boot)
    lists = dict(whole=full, rows=[*coverage(logs)], rewarded=[*by_rewarded(logs)])
    print(write("bandit", as_json(head, lists)))


if __name__ == "__main__": main()
