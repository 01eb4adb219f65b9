"""Check the rules of structure in recnn/, nbs/, bench/ and tools/; one line a finding, exit status 1 on any.

    python tools/structure.py

Imports run one way: io < fetch, vectors < data < items, agents < evaluation < app, without cycles, imports
inside functions included. A module has 350 lines at most, all modules together 200 public names, and `film`
is a word of two modules only. A notebook has 90 cells at most, an exported cell 40 lines; a cell below uses
each export; imports stand in cells of their own; lines have 110 columns at most. Files are parsed, not
imported.
"""
import ast
import json
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RANKS = dict(io=0, fetch=1, vectors=1, data=2, items=3, agents=3, evaluation=4, app=5, __main__=6)
MODULE_LINES, PUBLIC_NAMES, CELLS, EXPORT_LINES, COLUMNS = 350, 200, 90, 40, 110
FILM_MODULES = {"recnn.data.movielens", "recnn.items.records"}
EXPORT = re.compile(r"^#\|\s*exports?i?\b", re.M)


def relative(path):
    "Path from the root of the repository, with slashes."
    return path.relative_to(ROOT).as_posix()


def read_module(path):
    "Dotted name of a module of recnn, whether it is a package, its text and its syntax tree."
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = parts[-1] == "__init__"
    text = path.read_text(encoding="utf-8")
    return ".".join(parts[:-1] if package else parts), package, text, ast.parse(text)


def import_targets(name, package, node, known):
    "Modules of recnn that one syntax node imports; `from recnn.data import log` imports recnn.data.log."
    if isinstance(node, ast.Import): return [a.name for a in node.names if f"{a.name}.".startswith("recnn.")]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called, target = ast.unparse(node.func), str(node.args[0].value)
        return [target] if called.endswith("import_module") and target in known else []
    if not isinstance(node, ast.ImportFrom): return []
    base = name.split(".") if package else name.split(".")[:-1]
    start = base[: len(base) - node.level + 1] if node.level else []
    module = ".".join([*start, *(node.module or "").split(".")]).strip(".")
    if module.partition(".")[0] != "recnn": return []
    inside = [f"{module}.{a.name}" for a in node.names]
    found = [m if m in known else module for m in inside]
    return [m for m, a in zip(found, node.names) if not (m == "recnn" and a.name == "__version__")]


def folder(name):
    "The part of a dotted module name that has a rank: `agents` for recnn.agents.td3."
    return (name.split(".") + [""])[1]


def check_imports(modules):
    "Findings about the order of imports and cycles among modules {name: (package, tree)}."
    edges = {}
    for name, (package, tree) in modules.items():
        if name == "recnn": continue  # the front door names everything, lazily
        for node in ast.walk(tree):
            for target in import_targets(name, package, node, modules):
                if target != name: edges.setdefault(name, {}).setdefault(target, getattr(node, "lineno", 1))
    for name, targets in edges.items():
        for target, line in targets.items():
            here, there = folder(name), folder(target)
            where = f"{name.replace('.', '/')}.py:{line}"
            if here not in RANKS: yield f"{where}: {here} has no rank; ranks: {', '.join(RANKS)}"
            elif target == "recnn": yield f"{where}: imports from recnn; name the module that defines it"
            elif there not in RANKS: yield f"{where}: imports {target}, which has no rank"
            elif here != there and RANKS[there] >= RANKS[here]:
                yield f"{where}: {here} must not import {target}"
    for cycle in cycles(edges): yield f"import cycle: {' -> '.join(cycle)}"


def cycles(edges):
    "Each cycle of a graph {node: {node: line}} once, as a list that begins and ends with its smallest name."
    found, done = set(), set()

    def walk(node, path):
        if node in path:
            loop = path[path.index(node):]
            first = loop.index(min(loop))
            found.add(tuple(loop[first:] + loop[: first + 1]))
        elif node not in done:
            for target in edges.get(node, {}): walk(target, [*path, node])
            done.add(node)

    for node in sorted(edges): walk(node, [])
    return sorted(found)


def public_names(tree):
    "The names in `__all__` of a module."
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []


def api_words(tree):
    "Every public word of a module's API: names in `__all__`, their methods, fields and parameters."
    public = set(public_names(tree))
    for name in public: yield name
    for node in tree.body:
        named = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        patched = named and any(ast.unparse(d) == "patch" for d in node.decorator_list)
        if not named or node.name not in public and (not patched or node.name.startswith("_")): continue
        if patched: yield node.name
        body = [node] if not isinstance(node, ast.ClassDef) else node.body
        for part in body:
            if isinstance(part, ast.AnnAssign): yield ast.unparse(part.target)
            if not isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)): continue
            if part.name.startswith("_") and part.name not in ("__init__", "__call__"): continue
            yield part.name
            a = part.args
            yield from (x.arg for x in [*a.posonlyargs, *a.args, *a.kwonlyargs])


def long_lines(where, text):
    "Findings about lines of a file over the limit; nbdev's `__all__` is wrapped at another width."
    in_all = False
    for i, line in enumerate(text.splitlines(), 1):
        in_all = line.startswith("__all__ = [") or in_all
        if len(line) > COLUMNS and not in_all: yield f"{where}:{i}: {len(line)} columns"
        if in_all and line.rstrip().endswith("]"): in_all = False


def check_modules():
    "Findings about recnn/*.py; prints the public names by module."
    modules, counts = {}, Counter()
    for path in sorted((ROOT / "recnn").rglob("*.py")):
        if path.name == "_modidx.py": continue
        name, package, text, tree = read_module(path)
        modules[name] = package, tree
        lines = len(text.splitlines())
        if lines > MODULE_LINES: yield f"{relative(path)}: {lines} lines, {MODULE_LINES} at most"
        yield from long_lines(relative(path), text)
        if name != "recnn": counts[name] = len(public_names(tree))
        if name in FILM_MODULES or name == "recnn": continue
        for word in sorted(set(api_words(tree))):
            if "film" in word.lower(): yield f"{relative(path)}: `film` in the public name {word}; say item"
    yield from check_imports(modules)
    total = sum(counts.values())
    table = ", ".join(f"{m.removeprefix('recnn.')} {n}" for m, n in counts.most_common() if n)
    print(f"public names: {table}; {total} in all, {PUBLIC_NAMES} at most")
    if total > PUBLIC_NAMES: yield f"recnn: {total} public names, {PUBLIC_NAMES} at most"
    yield from check_origin(set(modules))


def notebooks():
    "Paths of all notebooks below nbs/."
    for path in sorted((ROOT / "nbs").rglob("*.ipynb")):
        if not any(part.startswith((".", "_")) for part in path.relative_to(ROOT).parts): yield path


def code_cells(path):
    "Source of each cell of a notebook, None for cells that hold no code."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [("".join(c["source"]) if c["cell_type"] == "code" else None) for c in cells]


def check_origin(modules):
    "Findings about modules that no notebook writes, and notebooks whose module does not exist."
    written = {}
    for path in notebooks():
        for source in code_cells(path):
            found = re.search(r"^#\|\s*default_exp\s+(\S+)", source or "", re.M)
            if not found: continue
            name = f"recnn.{found[1]}"
            if name in written: yield f"{relative(path)}: exports {name}, as {relative(written[name])} does"
            written[name] = path
    for name in sorted(modules - set(written)):
        path = ROOT.joinpath(*name.split("."))
        entry = path.is_dir() or path.name == "__main__"
        if not entry: yield f"{relative(path)}.py: no notebook exports it"
    for name in sorted(set(written) - modules):
        yield f"{relative(written[name])}: {name} does not exist; run nbdev_export"


def parse(source):
    "Syntax tree of a cell without magics; None when it has none."
    try: return ast.parse("\n".join(x for x in source.splitlines() if not x.lstrip().startswith(("%", "!"))))
    except SyntaxError: return None


def definitions(tree):
    "Public functions and classes that a cell defines."
    kinds = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef
    return [b.name for b in tree.body if isinstance(b, kinds) and not b.name.startswith("_")]


def check_notebook(path):
    "Findings about one notebook."
    cells, where = code_cells(path), relative(path)
    if len(cells) > CELLS: yield f"{where}: {len(cells)} cells, {CELLS} at most"
    for i, source in enumerate(cells):
        if source is None: continue
        at, exported, tree = f"{where}: cell {i}", bool(EXPORT.search(source)), parse(source)
        for line in source.splitlines():
            if len(line) > COLUMNS: yield f"{at}: a line of {len(line)} columns: {line.strip()[:50]}..."
        n = sum(bool(x.strip()) and not x.strip().startswith(("#|", "%", "!")) for x in source.splitlines())
        if exported and n > EXPORT_LINES: yield f"{at}: an exported cell of {n} lines, {EXPORT_LINES} at most"
        if tree is None or not tree.body: continue
        mixed = {isinstance(b, (ast.Import, ast.ImportFrom)) for b in tree.body}
        alone = len(mixed) < 2 or "nbdev_export()" in source or type_checking_only(tree)
        if not alone: yield f"{at}: imports mixed with other code"
        if not exported: continue
        below = "\n".join(s for s in cells[i + 1:] if s and not EXPORT.search(s))
        for name in definitions(tree):
            if not re.search(rf"\b{name}\b", below): yield f"{at}: exports {name}, and no cell below uses it"


def type_checking_only(tree):
    "True when all that stands beside the imports is `if TYPE_CHECKING:` with imports in it."
    rest = [b for b in tree.body if not isinstance(b, (ast.Import, ast.ImportFrom))]
    return all(isinstance(b, ast.If) and "TYPE_CHECKING" in ast.unparse(b.test) for b in rest)


def findings():
    "All findings, in the order of the files."
    yield from check_modules()
    for path in notebooks(): yield from check_notebook(path)
    for path in sorted([*(ROOT / "bench").glob("*.py"), *(ROOT / "tools").glob("*.py")]):
        yield from long_lines(relative(path), path.read_text(encoding="utf-8"))


def main():
    found = list(findings())
    for line in found: print(line)
    print(f"structure: {len(found)} findings" if found else "structure: all rules hold")
    return bool(found)


if __name__ == "__main__": sys.exit(main())
