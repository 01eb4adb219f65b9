"""Execute notebooks in an empty folder outside the repository, as a reader with Jupyter does.

    python tools/elsewhere.py                      a tutorial, a lesson and a page of results
    python tools/elsewhere.py agents/24_ddpg ...   these notebooks of nbs/

Copies the notebooks to a temporary folder and runs all their cells with nbclient, two at a time; recnn has
to be installed in this environment. Files of the repository come from a server on loopback in GitHub's place.
The first cell is run once more where recnn is missing, with a stand-in for pip. Prints a line a notebook.
"""
import argparse
import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = "tutorials/own_log", "agents/27a_bc", "results/agents"
ENV = dict(RECNN_PROGRESS="0", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", PYTHONPATH="")


class Handler(SimpleHTTPRequestHandler):
    "Files of the repository, without a line for each."
    def log_message(self, *args): pass


def execute(path):
    "Run all cells of a notebook in its folder; the error text, or None, and seconds."
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    begin, nb = time.time(), nbformat.read(path, as_version=4)
    place = dict(metadata=dict(path=path.parent))
    client = NotebookClient(nb, timeout=300, kernel_name="python3", resources=place)
    try: client.execute(stderr=subprocess.DEVNULL)  # where kernels warn about their port
    except CellExecutionError as e: return str(e)[-2000:], time.time() - begin
    return None, time.time() - begin


class Missing:
    "Finder of modules, for an environment without recnn."
    def find_spec(self, name, path=None, target=None):
        if name == "recnn": raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def install(path):
    "What the first cell of a notebook prints, and what it hands to pip, where recnn is missing."
    import nbformat
    from IPython.core.interactiveshell import InteractiveShell
    cell = next(c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
    shell, asked, said = InteractiveShell(), [], io.StringIO()
    shell.register_magic_function(asked.append, magic_name="pip")
    sys.meta_path.insert(0, Missing())
    try:
        with contextlib.redirect_stdout(said): shell.run_cell(cell.source).raise_error()
    finally: sys.meta_path.pop(0)
    return said.getvalue().strip(), asked


def main():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("names", nargs="*", default=NOTEBOOKS, help="notebooks below nbs/, without .ipynb")
    names, failed, begin = parser.parse_args().names, [], time.time()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=ROOT))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ |= ENV | dict(RECNN_FILES=f"http://127.0.0.1:{server.server_port}")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        os.chdir(folder)
        paths = []
        for name in names:
            paths.append(Path(folder, name.replace("/", "-"), f"{Path(name).name}.ipynb"))
            paths[-1].parent.mkdir()
            shutil.copy(ROOT / "nbs" / f"{name}.ipynb", paths[-1])
        for name, path, (error, seconds) in zip(names, paths, pool.map(execute, paths)):
            left = [p.name for p in path.parent.iterdir() if p != path]
            if left: error = f"{error or ''}\nleft behind: {', '.join(left)}"
            print(f"{'FAILED' if error else 'passed'}  {name:30} {seconds:.1f} s", flush=True)
            if error: failed.append(f"{name}: {error}")
        said, asked = install(paths[0])
        print(f"without recnn: {said}; pip {' '.join(asked)}")
        if "No module named 'recnn'" not in said or "recnn-rl" not in " ".join(asked):
            failed.append(f"the first cell of {names[0]} does not install recnn")
        os.chdir(ROOT)
    for error in failed: print(f"\n{error}", file=sys.stderr)
    print(f"{len(names)} notebooks outside the repository, {len(failed)} failed, {time.time() - begin:.0f} s")
    return bool(failed)


if __name__ == "__main__": sys.exit(main())
