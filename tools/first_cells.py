"""Put the first and the last cell into every notebook below nbs/; idempotent.

    python tools/first_cells.py            write what is missing or differs, one line a notebook
    python tools/first_cells.py --check    write nothing; exit status 1 where a cell is missing or differs
    python tools/first_cells.py PATH ...   these notebooks or folders alone

The first cell, hidden and below the title, installs the package where a notebook is opened without it, and
says what is missing; its extras follow from what the notebook imports. The last cell of a notebook that
writes a module exports the modules of the repository, and does nothing elsewhere. A page without code gets
neither. Cells are told by their source, so ids and outputs stay. A path to bench/ that leaves the folder of
the notebooks is reported: read such files by `recnn.app.notebooks._file`, which finds them outside the
repository too.
"""
import argparse
import ast
import json
import re
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "git+https://github.com/recnn/recnn"
EXTRAS = dict(fastcore="notebooks", seaborn="notebooks", hypothesis="notebooks", fastapi="serve",
              pydantic="serve", uvicorn="serve", onnx="onnx", onnxruntime="onnx", optuna="tune",
              faiss="search", umap="umap", openpyxl="excel", httpx="metadata", tenacity="metadata",
              aiolimiter="metadata", implicit="baselines", threadpoolctl="baselines")  # module -> extra
FLAGS = re.compile(r"^#\|\s*(slow|gpu|data|eval: false)\s*$", re.M)
FIRST = "try: import recnn.app.notebooks"
LAST = "#| hide\nfrom recnn.app.notebooks import _nbdev_export\n_nbdev_export()"
EXPORTS = re.compile(r"^(import nbdev; nbdev\.|_)?nbdev_export\(\)$", re.M)
NEEDS = re.compile(r"\b_needs\(\s*['\"](\w+)['\"]")
BENCH = re.compile(r"['\"](?:\.\./)+bench/[^'\"]*")


def sources(nb):
    "Sources of the code cells that run without a flag."
    cells = ["".join(c["source"]) for c in nb["cells"] if c["cell_type"] == "code"]
    return [s for s in cells if not FLAGS.search(s)]


def imported(source):
    "Packages that a cell imports, within functions too, and those it asks for by `_needs`."
    found = set(NEEDS.findall(source))
    try: tree = ast.parse(re.sub(r"^\s*[%!].*$", "pass", source, flags=re.M))
    except SyntaxError: return found
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): found |= {a.name.partition(".")[0] for a in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level: found.add(node.module.partition(".")[0])
    return found


def first_cell(nb):
    "Source of the first code cell."
    used = set().union(*(imported(s) for s in sources(nb) if FIRST not in s))
    modules = [m for m in EXTRAS if m in used]
    extras = ",".join(dict.fromkeys(EXTRAS[m] for m in modules))
    package = f"recnn-rl[{extras}]" if extras else "recnn-rl"
    return "\n".join(["#| hide", ", ".join([FIRST, *modules]), "except ImportError as e:",
                      "    print(f'{e}; installing recnn, which needs Python 3.10 or newer')",
                      f'    %pip install -q "{package} @ {SOURCE}"'])


def put(cell, source):
    "Give a cell a source, without outputs."
    cell.update(source=source.splitlines(keepends=True), outputs=[], execution_count=None)


def revise(nb, name):
    "Put both cells into a notebook, in place."
    cells, is_code = nb["cells"], lambda c: c["cell_type"] == "code"
    if not any(map(is_code, cells)): return
    if not (len(cells) > 1 and is_code(cells[1]) and FIRST in "".join(cells[1]["source"])):
        cell_id = f"{zlib.crc32(f'first cell of {name}'.encode()):08x}"
        cells.insert(1, dict(cell_type="code", id=cell_id, metadata={}, source=[]))
    if "".join(cells[1]["source"]) != first_cell(nb): put(cells[1], first_cell(nb))
    for cell in cells:
        source = "".join(cell["source"])
        if is_code(cell) and EXPORTS.search(source) and source != LAST: put(cell, LAST)


def notebooks(paths):
    "Notebooks of some files and folders, without hidden ones."
    found = [p for path in paths for p in ([path] if path.is_file() else sorted(path.rglob("*.ipynb")))]
    return [p for p in found if not any(part.startswith((".", "_")) for part in p.parts[-3:])]


def main():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks or folders; nbs/ when absent")
    parser.add_argument("--check", action="store_true", help="write nothing")
    args, findings = parser.parse_args(), 0
    for path in notebooks(args.paths or [ROOT / "nbs"]):
        text = path.read_text(encoding="utf-8")
        nb = json.loads(text)
        revise(nb, path.stem)
        changed, new = nb != json.loads(text), json.dumps(nb, ensure_ascii=False, indent=1, sort_keys=True)
        if changed and not args.check: path.write_text(new + "\n", encoding="utf-8")
        if changed: print(f"{path}: {'first or last cell missing or different' if args.check else 'written'}")
        outside = sorted({m for s in sources(nb) for m in BENCH.findall(s)})
        for m in outside: print(f"{path}: reads {m[1:]}; read it by `recnn.app.notebooks._file`")
        findings += bool(outside) + (changed and args.check)
    if args.check: print("first and last cells: " + (f"{findings} findings" if findings else "all there"))
    return bool(findings)


if __name__ == "__main__": sys.exit(main())
