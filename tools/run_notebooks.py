"""Run the notebooks as tests, or execute them and store their outputs.

    python tools/run_notebooks.py                    every cell without a flag, in parallel, outputs untouched
    python tools/run_notebooks.py --flags "slow gpu" cells with these flags as well
    python tools/run_notebooks.py --store            execute in place and keep the outputs
    python tools/run_notebooks.py 12_ddpg 13_td3     only these

Prints a line a notebook (cells run, cells skipped by flag, seconds) and ends with `N passed, N failed`, counted in
notebooks. A cell that has a flag of settings.ini (`tst_flags`) or `eval: false` is skipped and counted.
"""
import argparse, json, os, re, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.pop("VIRTUAL_ENV", None)  # of another environment: IPython warns
os.environ.update(RECNN_PROGRESS="0", IN_TEST="1", OMP_NUM_THREADS="1", MPLBACKEND="module://matplotlib_inline.backend_inline",
                  HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

NBS = Path(__file__).resolve().parent.parent / "nbs"


def flags_of(source, known):
    "Flags among `known` that stand at the top of a cell; `eval: false` counts as one."
    marks = {line.strip() for line in re.findall(r"^#\|(.+)$", source, re.M)}
    return (marks & known) | ({"eval: false"} if "eval: false" in marks else set())


def run_notebook(path, flags, store):
    "Execute one notebook in this process; returns its name, cells run, flags of cells skipped, seconds and the error text."
    from execnb.nbio import read_nb, write_nb
    from execnb.shell import CaptureShell
    from nbdev.config import get_config
    known, start, skipped, n, error = set(get_config().tst_flags.split()), time.time(), [], 0, None
    nb, shell = read_nb(path), CaptureShell(path, mpl_format="png")
    os.chdir(path.parent); sys.path.insert(0, str(path.parent))
    for cell in nb.cells:
        if cell.cell_type != "code": continue
        marks = flags_of(cell.source, known) - flags
        if marks: skipped.append("+".join(sorted(marks))); continue
        if "nbdev_export()" in cell.source: continue
        shell.cell(cell); n += 1
        if shell.exc:
            error = f"{path.name}, cell {cell.id}:\n{cell.source}\n{type(shell.exc).__name__}: {shell.exc}"
            break
    if store and not error: write_nb(nb, path)
    return str(path.relative_to(NBS)), n, skipped, time.time() - start, error


def in_process(path, args):
    "Execute one notebook in a process of its own."
    words = [sys.executable, __file__, "--one", str(path), "--flags", args.flags] + ["--store"] * args.store
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode: return str(path.relative_to(NBS)), 0, [], 0.0, f"{path.name}: the process ended with {done.returncode}\n{done.stderr[-2000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def notebooks(names):
    "All notebooks below nbs/, or those that are named."
    paths = [p for p in sorted(NBS.rglob("*.ipynb")) if not any(part.startswith((".", "_")) for part in p.relative_to(NBS).parts)]
    chosen = [p for p in paths if not names or p.stem in names]
    unknown = set(names) - {p.stem for p in chosen}
    if unknown: sys.exit(f"no notebook is called {', '.join(sorted(unknown))}; there are {', '.join(p.stem for p in paths)}")
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="notebooks without .ipynb; all when absent")
    parser.add_argument("--flags", default="", help="flagged cells to run as well, such as 'slow gpu'")
    parser.add_argument("--store", action="store_true", help="keep the outputs in the notebooks")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="notebooks at once")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one: return print("\n" + json.dumps(run_notebook(args.one, set(args.flags.split()), args.store)))
    paths, cells, skips, failed = notebooks(args.names), 0, 0, []
    with ThreadPoolExecutor(args.workers) as pool:
        for name, n, skipped, seconds, error in pool.map(lambda p: in_process(p, args), paths):
            cells += n; skips += len(skipped)
            note = f", skipped {len(skipped)} ({', '.join(sorted(set(skipped)))})" if skipped else ""
            print(f"{'FAILED' if error else 'passed'}  {name:24} {n:3} cells run{note}, {seconds:.1f} s", flush=True)
            if error: failed.append(error)
    for error in failed: print(f"\n{error}", file=sys.stderr)
    print(f"{len(paths)} notebooks, {cells} cells run, {skips} cells skipped")
    print(f"{len(paths) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__": sys.exit(main())
