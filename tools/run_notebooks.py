"""Run the notebooks as tests, or execute them and store their outputs.

    python tools/run_notebooks.py                     cells without a flag, in parallel, outputs untouched
    python tools/run_notebooks.py --flags "slow gpu"  cells with these flags as well
    python tools/run_notebooks.py --kernels           agents and judges once more, on slower CPU kernels
    python tools/run_notebooks.py --store             execute in place and keep the outputs
    python tools/run_notebooks.py 24_ddpg 25_td3      only these

A notebook is named by its file name without .ipynb, whatever its folder; the names are unique. Those with the
most code that trains start first, each in a process that is forked from one that has imported what most of
them import. Prints a line a run (cells run, cells skipped by flag, seconds) and ends
with `N passed, N failed`, counted in runs. A cell that has a flag of settings.ini (`tst_flags`) or
`eval: false` is skipped and counted.
"""
import argparse
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

NBS = Path(__file__).resolve().parent.parent / "nbs"
EXPORTS = re.compile(r"^(import nbdev; nbdev\.|_)?nbdev_export\(\)$", re.M)  # the last cell of a notebook
TRAINS = re.compile(r"\b(fit|train|pretrain|check_agent)(_\w+)?\(|\.update\(\w*batch|\.backward\(|n_updates=")
SLOWER = dict(ATEN_CPU_CAPABILITY="default", ONEDNN_MAX_CPU_ISA="SSE41", OMP_NUM_THREADS="1")
QUIET = dict(RECNN_PROGRESS="0", IN_TEST="1", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1",
             TOKENIZERS_PARALLELISM="false", MPLBACKEND="module://matplotlib_inline.backend_inline",
             HYPOTHESIS_STORAGE_DIRECTORY=str(Path(tempfile.gettempdir()) / "recnn-hypothesis"))
IMPORTED = ["execnb.shell", "nbdev.config", "nbdev.export", "torch._dynamo", "pandas", "matplotlib.pyplot",
            "scipy.sparse", "h5py"]


def flags_of(source, known):
    "Flags among `known` that stand at the top of a cell; `eval: false` counts as one."
    marks = {line.strip() for line in re.findall(r"^#\|(.+)$", source, re.M)}
    return (marks & known) | ({"eval: false"} if "eval: false" in marks else set())


def run_notebook(path, flags, store):
    "Execute one notebook in this process: its cells run, flags of cells skipped, seconds and the error text."
    from execnb.nbio import read_nb, write_nb
    from execnb.shell import CaptureShell
    from nbdev.config import get_config
    known, start, skipped, n, error = set(get_config().tst_flags.split()), time.time(), [], 0, None
    nb, shell = read_nb(path), CaptureShell(path, mpl_format="png")
    os.chdir(path.parent)
    sys.path.insert(0, str(path.parent))
    for cell in nb.cells:
        if cell.cell_type != "code": continue
        marks = flags_of(cell.source, known) - flags
        if marks:
            skipped.append("+".join(sorted(marks)))
            continue
        if EXPORTS.search(cell.source): continue
        shell.cell(cell)
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]  # names paths
        n += 1
        if shell.exc:
            error = f"{path.name}, cell {cell.id}:\n{cell.source}\n{type(shell.exc).__name__}: {shell.exc}"
            break
    if store and not error: write_nb(nb, path)
    return n, skipped, time.time() - start, error


def in_child(path, flags, store, kernels, folder):
    "Execute one notebook in this process, whose output goes to a file of `folder`; the result to another."
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2): os.dup2(said, stream)
    os.environ.update(SLOWER if kernels else {})  # read where torch first computes
    multiprocessing.set_start_method(None, force=True)  # the system's own
    result = run_notebook(path, flags, store)
    (folder / "result").write_text(json.dumps(result))


def in_process(processes, args, path, kernels):
    "Execute one notebook in a process of its own, if asked on slower kernels; as `run_notebook`."
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = path, set(args.flags.split()), args.store, kernels, folder
        process = processes.Process(target=in_child, args=words)
        process.start()
        process.join()
        if process.exitcode == 0: return json.loads((folder / "result").read_text())
        said = (folder / "said").read_text(errors="replace")[-2000:]
        return 0, [], 0.0, f"{path.name}: the process ended with {process.exitcode}\n{said}"


def prepare_processes():
    "A context that forks processes from one with imports, where the system can; else they start afresh."
    os.environ.pop("VIRTUAL_ENV", None)  # IPython warns
    os.environ.update(QUIET)
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    processes = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks: processes.set_forkserver_preload(IMPORTED)
    return processes


def code_of(path):
    "Sources of the code cells of a notebook."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def cost(path):
    "A guess at the running time: calls that train count most, then code cells."
    cells = [s for s in code_of(path) if "#| export" not in s]
    return 10 * sum(len(TRAINS.findall(s)) for s in cells) + len(cells)


def trains(path):
    "True for a notebook of agents or judges that trains something; others do not assert what comes of it."
    return path.parent.name in ("agents", "evaluation") and any(TRAINS.search(s) for s in code_of(path))


def notebooks(names):
    "All notebooks below nbs/, or those that are named."
    hidden = lambda p: any(part.startswith((".", "_")) for part in p.relative_to(NBS).parts)
    paths = [p for p in sorted(NBS.rglob("*.ipynb")) if not hidden(p)]
    twice = [stem for stem, n in Counter(p.stem for p in paths).items() if n > 1]
    if twice: sys.exit(f"several notebooks are called {', '.join(twice)}; give each name once in nbs/")
    known = [p.stem for p in paths]
    unknown = [n for n in names if n not in known]
    if unknown: sys.exit(f"no notebook is called {', '.join(unknown)}; there are {', '.join(known)}")
    return [p for p in paths if not names or p.stem in names]


def main():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("names", nargs="*", help="notebooks without .ipynb; all when absent")
    parser.add_argument("--flags", default="", help="flagged cells to run as well, such as 'slow gpu'")
    parser.add_argument("--kernels", action="store_true", help="those that train once more, slower kernels")
    parser.add_argument("--store", action="store_true", help="keep the outputs in the notebooks")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="notebooks at once")
    args = parser.parse_args()
    if args.store and args.kernels: parser.error("--store keeps the outputs of one run; leave --kernels out")
    paths = notebooks(args.names)
    jobs = [(p, False) for p in paths] + [(p, True) for p in paths if args.kernels and trains(p)]
    jobs.sort(key=lambda job: -cost(job[0]))
    cells, skips, failed, start = 0, 0, [], time.time()
    processes = prepare_processes()
    with ThreadPoolExecutor(args.workers) as pool:
        start_one = partial(in_process, processes, args)
        running = {pool.submit(start_one, path, slower): (path, slower) for path, slower in jobs}
        for done in as_completed(running):
            (path, slower), (n, skipped, seconds, error) = running[done], done.result()
            cells, skips = cells + n, skips + len(skipped)
            name = path.relative_to(NBS).with_suffix("").as_posix() + (", slower kernels" if slower else "")
            note = f", skipped {len(skipped)} ({', '.join(sorted(set(skipped)))})" if skipped else ""
            state = "FAILED" if error else "passed"
            print(f"{state}  {name:46} {n:3} cells run{note}, {seconds:.1f} s", flush=True)
            if error: failed.append(f"{name}: {error}")
    for error in failed: print(f"\n{error}", file=sys.stderr)
    print(f"{len(paths)} notebooks, {cells} cells run, {skips} cells skipped, {time.time() - start:.0f} s")
    print(f"{len(jobs) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__": sys.exit(main())
