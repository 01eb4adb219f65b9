"""Attack the library: kills, random logs, damaged and hostile files, lying servers, full disks, long runs.

    python tools/siege.py                         all campaigns, at full size (hours on two cores)
    python tools/siege.py --only logs flips       some of them
    python tools/siege.py --fraction 0.01         a hundredth of the tries
    python tools/siege.py --seed 1 --out FILE     other random inputs; rows to FILE (bench/results/siege.json)

A row a campaign: tries, and how many gave the right result, a clear error (a ValueError, KeyError, TypeError,
OSError or ImportError that names the file, row or value), a wrong result without a word, a crash (any other
exception, death by a signal), or no end within a deadline. The last three have to be 0; the exit status is 1
where they are not. Tries run in forked children. Inputs that fail are kept in a folder that is printed.
"""
import json
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from campaigns.tries import CRASH, HANG, VERDICTS, WRONG, Keep, generator, run_tries
from record import RESULTS, as_json, command_line, commit, machine

from recnn.io import atomic_write


def logs(args, keep):
    "Random rating logs, read by `read_log` and by an oracle."
    from campaigns.logs import fuzzed_log
    return run_tries("logs", args.size(10_000), lambda i: fuzzed_log(args.seed, i), keep)


def texts(args, keep):
    "Random CSV texts, read by `read_log` and by two strict readers."
    from campaigns.logs import fuzzed_text
    return run_tries("texts", args.size(10_000), lambda i: fuzzed_text(args.seed, i), keep)


def flips(args, keep, cut=False):
    "One bit of a file flipped: 400 of each form."
    from campaigns.files import FORMS, damaged, write_forms
    with tempfile.TemporaryDirectory() as folder:
        right, n, names = write_forms(folder), args.size(50 if cut else 400), list(FORMS)
        one = lambda i: damaged(names[i // n], folder, right, cut, args.seed, i)
        return run_tries("cuts" if cut else "flips", n * len(names), one, keep, memory=4 << 30)


def cuts(args, keep):
    "A file cut off: 50 of each form."
    return flips(args, keep, True)


def every(args, n):
    "Places of a fraction of n fixed tries, spread evenly; those of another seed begin elsewhere."
    step = max(1, round(1 / args.fraction))
    return range(args.seed % step, n, step)


def gadgets(args, keep):
    "Pickles that call a function, in files of all kinds that hold pickles: none may run."
    from campaigns.hostile import GADGETS, tried_gadget
    places = every(args, len(GADGETS))
    return run_tries("gadgets", len(places), lambda i: tried_gadget(places[i]), keep, memory=4 << 30)


def bombs(args, keep):
    "Pickles and torch files that would take all memory or all time, or that hold no plain numbers."
    from campaigns.hostile import BOMBS, tried_bomb
    places = every(args, len(BOMBS))
    return run_tries("bombs", len(places), lambda i: tried_bomb(places[i]), keep, memory=2 << 30)


def hdf5(args, keep):
    "HDF5 files with an array or an attribute of another kind, outside the file, or larger than it."
    from campaigns.hostile import HDF5, tried_hdf5, write_hdf5
    places = every(args, 2 * len(HDF5))
    with tempfile.TemporaryDirectory() as folder:
        right = write_hdf5(folder)
        one = lambda i: tried_hdf5(places[i], folder, right)
        return run_tries("hdf5", len(places), one, keep, memory=2 << 30)


def kills(args, keep):
    "`recnn prepare`, `embed`, `train` and a download killed at a random moment, then run to their end."
    from campaigns.kills import Kills
    with Kills() as k: return run_tries("kills", args.size(1000), lambda i: k.one(args.seed, i), keep, 200)


def parts(args, keep):
    "Workers, commands and ranks killed while parts are built and two processes train; each told to go on."
    from campaigns.parts import PartKills
    with PartKills() as k: return run_tries("parts", args.size(20), lambda i: k.one(args.seed, i), keep, 300)


def servers(args, keep):
    "Downloads from servers that lie, break off or never end, each followed by one from an honest server."
    from campaigns.servers import LIES, lied
    places = every(args, len(LIES))
    return run_tries("servers", len(places), lambda i: lied(places[i]), keep, 45, 2 << 30,
                     lambda i: list(LIES)[places[i]])


def tmdb(args, keep):
    "Answers of a film database that lies, breaks off or never ends; the key may reach nothing but its host."
    from campaigns.servers import API_LIES, lied_api
    places = every(args, len(API_LIES))
    return run_tries("tmdb", len(places), lambda i: lied_api(places[i]), keep, 30, 2 << 30,
                     lambda i: list(API_LIES)[places[i]])


def steady(args, keep):
    "Memory of 2,000 updates, memory and handles of 1,000 opens of each form of file."
    from campaigns.writing import steady_cases, write_all
    cases = list(steady_cases(args.size(2000), args.size(1000)).values())
    with tempfile.TemporaryDirectory() as folder:
        write_all(folder)
        return run_tries("steady", len(cases), lambda i: cases[i](folder), keep, 600)


def writing(args, keep):
    "Full disks, read-only folders, odd names, several writers of one file, and workers of a data set."
    from campaigns.writing import writing_cases
    cases = writing_cases()
    places = every(args, len(cases))

    def one(i):
        name, run = cases[places[i]]
        verdict, detail = run(generator(name, args.seed))
        return verdict, detail or name
    name = lambda i: cases[places[i]][0]
    return run_tries("writing", len(places), one, keep, 200, label=name, fresh=True)


CAMPAIGNS = dict(kills=kills, parts=parts, logs=logs, texts=texts, flips=flips, cuts=cuts,
                 gadgets=gadgets, bombs=bombs, hdf5=hdf5, servers=servers, tmdb=tmdb,
                 steady=steady, writing=writing)


def arguments():
    parser = command_line(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(CAMPAIGNS), default=list(CAMPAIGNS), metavar="NAME")
    parser.add_argument("--fraction", type=float, default=1.)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "siege.json")
    args = parser.parse_args()
    args.size = lambda n: max(1, round(n * args.fraction))
    return args


def store(path, row):
    "Add a row to the file of results; it replaces the one of the same campaign."
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    places = {name: i for i, name in enumerate(CAMPAIGNS)}
    rows = [r for r in rows if r["campaign"] != row["campaign"] and r["campaign"] in places] + [row]
    rows.sort(key=lambda r: places[r["campaign"]])
    with atomic_write(path) as part: part.write_text(as_json(dict(machine=machine()), dict(rows=rows)))


def few(faults, each=2, most=30):
    "At most two faults of each kind: of the same words but for their numbers."
    kinds = Counter()
    for fault in faults: kinds[re.sub(r"\d+", "", fault)[:70]] += 1
    shown, seen = [], Counter()
    for fault in faults:
        kind = re.sub(r"\d+", "", fault)[:70]
        seen[kind] += 1
        if seen[kind] <= each: shown.append(fault + (f" [{kinds[kind]} such]" if seen[kind] == 1 else ""))
    return shown[:most]


def main():
    args, keep, bad = arguments(), Keep(), 0
    heads = "campaign", "tried", *VERDICTS, "seconds"
    print(f"{heads[0]:<10}" + "".join(f"{h:>16}" for h in heads[1:]), flush=True)
    for name in args.only:
        counts, faults, seconds = CAMPAIGNS[name](args, keep)
        row = dict(campaign=name, about=CAMPAIGNS[name].__doc__, tried=sum(counts.values()), **counts,
                   seconds=round(seconds, 1), fraction=args.fraction, seed=args.seed, commit=commit(),
                   faults=few(faults))
        print(f"{name:<10}" + "".join(f"{row[h]:>16}" for h in heads[1:]), flush=True)
        for fault in few(faults): print("   ", fault, flush=True)
        bad += counts[WRONG] + counts[CRASH] + counts[HANG]
        store(args.out, row)
    if keep.folder: print(f"failing inputs: {keep.folder}")
    return 1 if bad else 0


if __name__ == "__main__": sys.exit(main())
