"""Test the demo's page and that of `recnn serve` in headless Chromium, as a visitor uses them.

    python tools/browser.py              the page in docs/, or from its sources where docs/ has none
    python tools/browser.py --fresh      the page from its sources, recnn/page and docs/demo
    python tools/browser.py --shots DIR  screenshots at 1300 and 400 pixels, light and dark, instead

The lists that the page shows are compared with those that Python makes of the same files. Chromium is the
program that CHROMIUM names, or the first of chromium and google-chrome on the path; without one the tests are
skipped. Prints each failure and `N passed, N failed`; the exit status is 1 on a failure.
"""
import argparse
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np # noqa: E402

from chromium import Browser, Page, find_chromium # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = (ROOT / "tools" / "browser.js").read_text(encoding="utf-8")
K = 10
SEARCHES = {
    "The Shining": "The Shining (1980)", "godfathr": "The Godfather (1972)", "toy story": "Toy Story (1995)",
    "spiderman": "Spider-Man (2002)", "amelie": "Amelie (2001)", "2001": "2001: A Space Odyssey (1968)",
    "star wras": "Star Wars: Episode IV - A New Hope (1977)", "heat 1995": "Heat (1995)",
    "shawshank": "The Shawshank Redemption (1994)", "leon the professional": "Léon: The Professional (1994)"}


class Tests:
    "Counts what passed."
    def __init__(self): self.passed, self.failed = 0, 0

    def check(self, name, found, wanted=True):
        "One test."
        if found == wanted: self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: {found!r}" + ("" if wanted is True else f", not {wanted!r}"))

    @contextmanager
    def part(self, name):
        "An error ends a part, not the tests."
        try: yield
        except Exception as e:
            self.failed += 1
            print(f"FAILED {name}: {type(e).__name__}: {e}")


# The page's data, read by Python

ARTICLES = "the|a|an|le|la|les|l'|el|los|las|il|lo|der|die|das|un|une|i|o|os|as"
MOVED = re.compile(rf"^(.+), ({ARTICLES})( \(.*)?$", re.I)


def shown(title):
    "A title as the page shows it."
    if m := MOVED.match(title): return f"{m[2]}{'' if m[2].endswith(chr(39)) else ' '}{m[1]}"
    return re.sub(r" \(.*\)$", "", title) or title


class Data:
    "Catalogue, manifest and models of the page, asked by ONNX Runtime and numpy."
    def __init__(self, folder):
        import onnxruntime
        def read(name): return json.loads((folder / name).read_text(encoding="utf-8"))
        self.manifest, self.catalogue = read("manifest.json"), read("catalogue.json")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = functools.partial(onnxruntime.InferenceSession, sess_options=options,
                                    providers=["CPUExecutionProvider"])
        self.sessions = {n: session(str(folder / f"{n}.onnx")) for n in ("ddpg", "default")}
        self.read_knn((folder / "item_knn.bin").read_bytes())

    def read_knn(self, data):
        "Matrix of users and items, and floors of similarities."
        N, U = len(self.catalogue["title"]), self.manifest["item_knn"]["users"]
        bounds, self.floor = np.frombuffer(data, "<u4", U + 1), np.frombuffer(data, "<f4", N, 4 * (U + 1))
        item = np.frombuffer(data, "<u2" if N < 65536 else "<u4", offset=4 * (U + 1 + N))
        self.rated = np.zeros((U, N), "float32")
        self.rated[np.repeat(np.arange(U), np.diff(bounds)), item] = 1

    def named(self, i):
        "The title and year of an item in a list."
        title, year = shown(self.catalogue["title"][i]), self.catalogue["year"][i]
        return f"{title} {year}" if year else title

    def best(self, scores, picks):
        "The best items that are not among the picks."
        scores = scores.copy()
        scores[[i for i, _ in picks]] = -np.inf
        return np.argsort(-scores, kind="stable")[:K].tolist()

    def ask(self, name, picks, step):
        "Scores of a graph."
        m = self.manifest
        T = m["frame_size"][name]
        items, rewards = np.full((1, T), -1), np.zeros((1, T), "float32")
        for k, (i, r) in enumerate(picks[-T:], T - len(picks[-T:])):
            items[0, k], rewards[0, k] = i, (r - m["rewards"]["shift"]) * m["rewards"]["scale"]
        scores = self.sessions[name].run(None, dict(items=items, rewards=rewards))[0][0]
        return scores[step] if name == "ddpg" else scores

    def knn(self, picks):
        "Scores of item-kNN."
        n, total = np.sqrt(self.rated.sum(0)), np.zeros(len(self.floor), "float32")
        for s in sorted({i for i, _ in picks}):
            similar = self.rated[self.rated[:, s] > 0].sum(0) / (n * n[s] + np.float32(10))
            similar[s] = 0
            total += np.where(similar >= self.floor, similar, 0)
        return total

    def lists(self, picks, step):
        "What the three models recommend for picks [(item, rating)]."
        scores = {n: self.ask(n, picks, step) for n in self.sessions} | dict(item_knn=self.knn(picks))
        return {n: self.best(z, picks) for n, z in scores.items()}


# The parts of the test

class Visit(Page):
    "A page of the demo or of the server, once it is ready."
    def __init__(self, browser, url, width=1300, dark=False):
        super().__init__(browser, url, width, 900, dark, SCRIPT)
        self.wait("t.ready()")

    def load(self, url):
        "Go to an address."
        self.go(url)
        self.wait("t.ready()")

    def then(self, act):
        "Act, and wait for the lists that follow."
        before = self.js("t.turn()")
        act()
        self.wait(f"t.turn() > {before}")

    def search(self, text):
        "The titles found for a text that is typed."
        self.js("t.empty()")
        self.wait('document.getElementById("found").hidden')
        self.type(text)
        return self.wait('t.texts("#found li").length && t.texts("#found li")')


def test_examples(t, page, data, last):
    "The examples' lists are those of Python, and nearly those of the library, which computes in float32."
    for example in data.manifest["examples"]:
        name, picks = example["name"], [tuple(p) for p in example["picks"]]
        page.then(lambda: page.js("t.click", "#examples button", name))
        found = data.lists(picks, last)
        t.check(name, page.js("t.lists()"), {n: [data.named(i) for i in x] for n, x in found.items()})
        for n, items in found.items():
            wanted = example["lists"][f"ddpg {data.manifest['updates'][last]}" if n == "ddpg" else n]
            t.check(f"{name}: {n} as in the library", len(set(items) & set(wanted)) >= K - 1)


def test_site(t, browser, url, data):
    "The page with its data, as somebody uses it."
    ids, last = data.catalogue["item_id"], len(data.manifest["updates"]) - 1
    page = Visit(browser, url)
    print("ready after", {name: f"{ms:.0f} ms" for name, ms in page.js("t.marks()").items()})
    def same(name, picks, step=last):
        want = {n: [data.named(i) for i in items] for n, items in data.lists(picks, step).items()}
        t.check(name, page.js("t.lists()"), want)
    test_examples(t, page, data, last)
    page.then(lambda: page.js("t.click", "#clear"))
    for text, title in SEARCHES.items(): t.check(f"search {text}", page.search(text)[0], title)
    for text in ("The Shining", "toy story", "alien"):
        page.search(text)
        page.then(lambda: page.key("Enter"))
    titles = [title for _, title in page.js("t.picks()")]
    t.check("picks", titles, ["The Shining (1980)", "Toy Story (1995)", "Alien (1979)"])
    picks = [(ids.index(int(i)), 5.) for i, _ in page.js("t.picks()")]
    same("picked", picks)
    page.js("t.focus", "#picks .stars")
    for _ in range(2): page.then(lambda: page.key("ArrowLeft"))
    picks[0] = picks[0][0], 4.
    same("rated by keyboard", picks)
    before = page.js("t.lists()")
    page.then(lambda: page.js("t.click", "#picks li:nth-child(2) .flip"))
    picks[1] = picks[1][0], 1.
    same("flipped", picks)
    after = page.js("t.lists()")
    new = page.js('t.texts("[data-model=default] li.new .title")')
    t.check("what is new is marked", new, [x for x in after["default"] if x not in before["default"]])
    t.check("the default agent reads stars", after["default"] != before["default"])
    t.check("item-kNN reads none", after["item_knn"], before["item_knn"])
    for step in (0, 4, last):
        page.js("t.slide", step)
        same(f"slider at {step}", picks, step)
    page.js("t.focus", "#slider")
    page.key("ArrowLeft")
    same("slider by keyboard", picks, last - 1)
    page.js("t.click", "#play")
    same("played", picks, last)
    page.wait('document.getElementById("play").getAttribute("aria-pressed") === "false"')
    page.js("t.slide", last - 1)
    page.load(page.js("location.href"))
    same("shared address", picks, last - 1)
    rng = np.random.default_rng(0)
    for k in range(5):
        items = rng.choice(len(ids), rng.integers(1, 25), replace=False).tolist()
        some = [(i, float(r)) for i, r in zip(items, rng.integers(1, 11, len(items)) / 2)]
        step, part = int(rng.integers(0, last + 1)), ",".join(f"{ids[i]}:{r:g}" for i, r in some)
        address = f"#p={part}&u={data.manifest['updates'][step]}"
        page.then(lambda: page.js("(x => { location.hash = x })", address))
        same(f"random {k}", some, step)
    print(f"from a rating to its three lists: {page.js('t.flips(9)')[4]:.0f} ms")
    end_visit(t, page, "1300 px")


def end_visit(t, page, name):
    "Nothing scrolls sideways, nothing failed, and nothing was asked of another host."
    t.check(f"{name}: scrolls sideways", page.js("t.wide()"), 0)
    t.check(f"{name}: trouble", list(page.trouble()), [])
    page.close()


def test_others(t, browser, url):
    "A phone in the dark, at an address with markup and other bad input."
    bad = "#p=%253Cimg%2520src%253Dx%253E:5,1:99,1:nan,:,x:y:z,%25:3&u=-1"
    page = Visit(browser, url + bad, 400, dark=True)
    t.check("bad address", [i for i, _ in page.js("t.picks()")], ["1"])
    t.check("dark", page.js('matchMedia("(prefers-color-scheme: dark)").matches'))
    end_visit(t, page, "400 px")


# The page of `recnn serve`

TITLES = "<img src=x onerror=alert(1)>", "Heat & <b>Dust</b> (1983)"
SERVER = """import argparse
from recnn.app.cli import _serve, _serve_arguments
parser = argparse.ArgumentParser()
_serve_arguments(parser)
_serve(parser.parse_args())"""


@contextmanager
def recnn_serve(folder):
    "`recnn serve` on a free port: a function that waits for the address, and a model with markup in titles."
    from recnn.app.recommender import fit
    from recnn.data.planted import planted_log
    model, path = fit("item_knn", planted_log(60, 40, 20).log), str(Path(folder) / "model")
    model.titles = [*TITLES, *(f"Picture {i}, The ({1990 + i % 9})" for i in model.item_ids[2:])]
    model.save(path)
    words = [sys.executable, "-c", SERVER, "--model", path, "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try: yield lambda: server.stdout.readline().split()[0], model
        finally: server.terminate()


def test_serve(t, browser, url, model):
    "One list, of the model that is served."
    import pandas as pd
    page = Visit(browser, url)
    wanted = {"img src": TITLES[0], "heat dust": TITLES[1], "picture 7": "The Picture 7 (1997)",
              "pictrue 12": "The Picture 12 (1993)"}
    for text, title in wanted.items():
        found = page.search(text)
        t.check(f"serve: search {text}", title in found)
        page.then(lambda: page.js("t.press", title))
    page.then(lambda: page.js("t.click", "#picks .flip"))
    picks = page.js("t.picks()")
    t.check("serve: picks", [title for _, title in picks], list(wanted.values()))
    rated = pd.DataFrame(dict(item_id=[int(i) for i, _ in picks], rating=[1, 5, 5, 5]))
    want = model.recommend(history=rated, k=K).item_id.tolist()
    t.check("serve: list", page.js("t.ids()"), want)
    page.load(page.js("location.href"))
    t.check("serve: shared address", (page.js("t.picks()"), page.js("t.ids()")), (picks, want))
    t.check("serve: scrolls sideways", page.js("t.wide()"), 0)
    page.go(url + "docs")
    t.check("serve: requests", page.wait('t.texts("h2 code").join(" ")').startswith("GET /"))
    end_visit(t, page, "serve")


# Where the page is tested

@contextmanager
def serving(folder):
    "Serve a folder on a free port."
    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}
        def log_message(self, *args): pass
    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def lay_out(folder):
    "The page and its data as the site has them."
    shutil.copytree(ROOT / "docs" / "demo", folder / "demo")
    for file in (ROOT / "recnn" / "page").iterdir():
        shutil.copy(file, folder if file.name == "demo.html" else folder / "demo")
    return folder


def take_shots(browser, url, folder):
    "Write screenshots."
    folder.mkdir(parents=True, exist_ok=True)
    for width, dark in ((1300, False), (1300, True), (400, False), (400, True)):
        page = Visit(browser, url, width, dark)
        page.shot(folder / f"demo-{width}-{'dark' if dark else 'light'}.png")
        page.close()


def run(args, browser):
    "Test both pages, and return the exit status."
    begin, t = time.monotonic(), Tests()
    with tempfile.TemporaryDirectory() as folder, recnn_serve(folder) as (address, model):
        fresh = args.fresh or not (ROOT / "docs" / "demo.html").is_file()
        site = lay_out(Path(folder) / "site") if fresh else ROOT / "docs"
        with serving(site) as home:
            url = f"{home}demo.html"
            if args.shots: return take_shots(browser, url, Path(args.shots))
            with t.part("site"): test_site(t, browser, url, Data(site / "demo" / "data"))
            with t.part("others"): test_others(t, browser, url)
        with t.part("serve"): test_serve(t, browser, address(), model)
    print(f"{t.passed} passed, {t.failed} failed in {time.monotonic() - begin:.0f} s")
    return int(t.failed > 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fresh", action="store_true", help="take the page from its sources")
    parser.add_argument("--shots", metavar="DIR", help="write screenshots instead")
    args, program = parser.parse_args(), find_chromium()
    if not program:
        print("skipped: NO CHROMIUM, so the pages are NOT tested; install it, or name it by CHROMIUM")
        return 0
    browser = Browser(program)
    try: return run(args, browser)
    finally: browser.close()


if __name__ == "__main__": sys.exit(main())
