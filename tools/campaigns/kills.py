"""The real commands and a download, killed at any moment and run again."""
import contextlib
import hashlib
import io
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import recnn.app.report  # noqa: F401 (a child finds all modules imported)
import recnn.evaluation.judges  # noqa: F401
import recnn.items.merge  # noqa: F401
from campaigns import ROOT
from campaigns.files import small_log, small_vectors
from campaigns.servers import Server, small_zip
from campaigns.tries import CRASH, HANG, RIGHT, SAY, WRONG, digest, generator
from recnn.agents import fit as run_loop
from recnn.app.cli import main
from recnn.app.models import _import_models
from recnn.data import logfile  # noqa: F401 (`Log.write`)
from recnn.data.movielens import download
from recnn.io import read_arrays

_import_models()
INPUTS = "log.csv", "log.hdf5", "vectors.safetensors"
TRAIN = ("train --data log.hdf5 --vectors vectors.safetensors --updates 40 --set hidden=16 batch_size=16 "
         "--agent")
COMMANDS = dict(  # name -> words (None: the download), what it leaves, tries in a hundred
    prepare=("prepare --ratings log.csv --out out.hdf5", ["out.hdf5"], 20),
    static=("prepare --ratings log.csv --layout static --out out.hdf5", ["out.hdf5"], 10),
    embed=("embed --data log.hdf5 --dim 6 --out out.safetensors", ["out.safetensors"], 10),
    td3=(f"{TRAIN} td3 --out out", ["out/model.safetensors"], 35),
    cloning=(f"{TRAIN} ddpg --out out.safetensors", ["out.safetensors"], 15),
    download=(None, ["ml-latest-small/ratings.csv", "ml-latest-small/movies.csv"], 10))


def write_inputs(folder):
    "Write the inputs of the commands."
    log, folder = small_log(40, 60, 16), Path(folder)
    log.items["title"] = [f"item {i}" for i in log.items.item_id]  # as without titles: no text is encoded
    log.ratings().to_csv(folder / "log.csv", index=False)
    log.write(folder / "log.hdf5")
    small_vectors(log).save(folder / "vectors.safetensors")


COLD = "import sys; from recnn.app.cli import main; sys.exit(main(sys.argv[1:]))"


def run_command(name, folder, url, often=False, cold=False):
    """Run a command in a child in a folder of its own: its process id. Output goes to command.txt there.

    `often`: a checkpoint after each update, not each minute. `cold`: a new Python, which imports all first.
    """
    (Path(folder) / "command.txt").touch()
    pid = os.fork()
    if pid: return pid
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.chdir(folder)
        out = os.open("command.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(out, 1), os.dup2(out, 2)
        sys.stdout = sys.stderr = open(out, "w", buffering=1, closefd=False)
        words = (COMMANDS[name][0] or "").split()
        env = os.environ | dict(PYTHONPATH=str(ROOT))
        if cold: os.execve(sys.executable, [sys.executable, "-c", COLD, *words], env)
        if often: run_loop._Clock.due = lambda clock: True
        if words: status = main(words)
        else: status = download("ml-latest-small", ".", url, tries=3, wait=.01) and 0
    except KeyboardInterrupt: status = 130
    except BaseException: traceback.print_exc()
    finally: os._exit(status)


def warm_up(folder):
    "Run two commands in this process, so that children find every module imported."
    before = os.getcwd()
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for name in ("embed", "td3"): main(COMMANDS[name][0].split())
    os.chdir(before)


def wait_for(pid, deadline=60.):
    "Exit status of a child; None where it had to be killed at the deadline."
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done: return os.waitstatus_to_exitcode(status)
        time.sleep(.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def result(name, folder):
    "Digest of what a command leaves."
    files = [(Path(folder) / file).read_bytes() for file in COMMANDS[name][1]]
    return hashlib.sha256(b"|".join(files)).hexdigest()


def arrays_of(name, folder):
    "Digest of the arrays of a model, where two files may differ in their headers."
    file = Path(folder) / COMMANDS[name][1][0]
    if name not in ("td3", "cloning"): return result(name, folder)
    return digest(sorted((k, v) for k, v in read_arrays(file, "recommender")[0].items()))


def undisturbed(folder, url):
    "For each command the digest of its result and its seconds."
    found = {}
    for name in COMMANDS:
        here, seconds = Path(folder) / f"whole-{name}", []
        for _ in range(2):
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            for file in INPUTS: shutil.copy(Path(folder) / file, here)
            start = time.monotonic()
            status = wait_for(run_command(name, here, url))
            seconds.append(time.monotonic() - start)
            told = (here / "command.txt").read_text()[-800:]
            if status: raise RuntimeError(f"{name} ends with {status}: {told}")
        found[name] = arrays_of(name, here), min(seconds)
    return found


def chosen(rng):
    "A command, by its share of the tries."
    names = [name for name, (_, _, n) in COMMANDS.items() for _ in range(n)]
    return names[rng.integers(len(names))]


def traceback_in(text):
    "The end of a traceback that a command has printed; '' where there is none."
    # Python itself drops an interrupt that falls into a callback of the garbage collector, and says so
    text = re.sub(r"Exception ignored in.*\nTraceback(.*\n)+?KeyboardInterrupt.*", "", text)
    return text[-SAY:] if "Traceback" in text else ""


def killed(seed, i, folder, url, whole):
    "Kill a command at a random moment, perhaps twice, and run it to its end."
    rng = generator("kill", seed, i)
    name = chosen(rng)
    want, seconds = whole[name]
    for file in INPUTS: shutil.copy(Path(folder) / file, ".")
    story, often, cold = [], rng.random() < .5, rng.random() < .03 and name != "download"
    for _ in range(int(rng.integers(1, 3))):
        number = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)[rng.integers(3)]
        wait = rng.uniform(0, 1.1 * seconds + 4 * cold)
        pid = run_command(name, ".", url, often, cold)
        time.sleep(wait)
        with contextlib.suppress(ProcessLookupError): os.kill(pid, number)
        status = wait_for(pid)
        how = ", often" * often + ", cold" * cold
        story.append(f"{number.name} after {wait:.3f} s of {seconds:.3f}{how}: {status}")
        if status is None: return HANG, f"{name} does not end; {story}"
        said = "" if cold else traceback_in(Path("command.txt").read_text())  # Python's start has its own
        if said: return CRASH, f"{name}, {story}: {said}"
    status = wait_for(run_command(name, ".", url))
    told = Path("command.txt").read_text()[-200:]
    if status is None: return HANG, f"{name} does not end when it is run again; {story}"
    if status: return CRASH, f"{name} ends with {status} when it is run again; {story}: {told}"
    same = arrays_of(name, ".") == want
    return (RIGHT, "") if same else (WRONG, f"{name}: another result; {story}: {told}")


class Kills:
    "Inputs, a server and the undisturbed results of the campaign of kills."
    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = self.temporary.name
        write_inputs(self.folder)
        warm_up(self.folder)
        self.server = Server(small_zip(200_000), pause=.004)
        self.whole = undisturbed(self.folder, self.server.url)
        return self
    def __exit__(self, *_):
        self.server.stop()
        self.temporary.cleanup()
    def one(self, seed, i): return killed(seed, i, self.folder, self.server.url, self.whole)
