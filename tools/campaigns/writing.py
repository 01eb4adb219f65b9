"""Writers that meet, full disks, places that cannot be written, and memory and handles of long runs."""
import gc
import json
import os
import resource
import shutil
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from campaigns.files import readers, small_log, small_vectors, write_forms, write_vector_files
from campaigns.kills import COMMANDS, INPUTS, arrays_of, run_command, wait_for, write_inputs
from campaigns.servers import Server, small_zip
from campaigns.tries import CRASH, HANG, RIGHT, WRONG
from recnn.agents.fit import fit as run_fit
from recnn.agents.td3 import TD3, TD3Config
from recnn.app.cli import main
from recnn.app.recommender import fit
from recnn.data.export import write_dense, write_parquet, write_static
from recnn.data.loading import BatchStream
from recnn.data.windows import Dataset
from recnn.io import atomic_write
from recnn.items.pickles import write_pickle, write_vectors

def memory():
    "Resident memory of this process in MB."
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def handles(): return len(os.listdir("/proc/self/fd"))


def flat_updates(n):
    "Memory of `n` updates of an agent after a tenth of them."
    data = Dataset(small_log(40, 60, 16), small_vectors(small_log(40, 60, 16)))
    agent = TD3(TD3Config(data.frame_size, data.vectors.dim, hidden=32, batch_size=32), seed=0)
    before, warm = None, n // 10
    for place, batch in enumerate(agent.batches(data, 0, 0)):
        if place == warm:
            gc.collect()
            before = memory()
        if place >= n: break
        agent.update(batch)
    gc.collect()
    grown = memory() - before
    return (RIGHT, "") if grown < 8 else (WRONG, f"{n} updates grow by {grown:.1f} MB")


def steady_opens(folder, file, n):
    "Open a file `n` times: neither handles nor memory may grow."
    read, path = readers()[file], Path(folder) / file
    keep = path.read_bytes()
    for place in range(n + 5):
        if place == 5: before, held = memory(), handles()
        if not path.exists(): path.write_bytes(keep)
        read(path)
    gc.collect()
    if handles() > held: return WRONG, f"{file}: {handles() - held} handles stay open after {n} opens"
    return (RIGHT, "") if memory() - before < 16 else (WRONG, f"{file}: {memory() - before:.0f} MB stay")


def steady_cases(n_updates, n_opens):
    "Tries of the campaign: name -> function of a folder."
    cases = dict(updates=lambda folder: flat_updates(n_updates))
    for file in readers(): cases[file] = lambda folder, file=file: steady_opens(folder, file, n_opens)
    return cases


def write_all(folder):
    "Write a file of every form."
    write_forms(folder)
    write_vector_files(folder)


# ---------------------------------------------------------------- writing

def writers():
    "Name of a file -> function that writes it to a path."
    log = small_log()
    vectors = small_vectors(log)
    data, model = Dataset(log, vectors), fit("popularity", log)
    return {
        "log.hdf5": log.write, "packed.hdf5": lambda path: log.write(path, compression="gzip"),
        "static.hdf5": lambda path: write_static(data, path),
        "dense.hdf5": lambda path: write_dense(data, path),
        "windows.parquet": lambda path: write_parquet(data, path), "model.safetensors": model.save,
        "vectors.safetensors": vectors.save, "vectors.p": lambda path: write_pickle({1: [1.] * 500}, path),
        "vectors.pt": lambda path: write_vectors(vectors.ids, vectors.matrix.numpy(), path),
        "run.checkpoint": _checkpoint, "run-log.csv": _log_file, "table.csv": _table, "table.parquet": _table}


def _table(path):
    from recnn.app import outputs, steps
    write = getattr(outputs, "_write_table", None) or steps._write_table
    write(small_log().ratings(), path)


def _training(**options):
    log = small_log()
    data = Dataset(log, small_vectors(log))
    agent = TD3(TD3Config(data.frame_size, data.vectors.dim, hidden=8, batch_size=4), seed=1)
    run_fit(agent, data, 40, log_every=1, **options)


def _checkpoint(path): _training(checkpoint=path, save_every=0, keep_checkpoint=True)


def _log_file(path): _training(log_file=path)


def _error(call):
    "Verdict of a call that has to fail: an OSError or ValueError that names the file."
    try: call()
    except (OSError, ValueError) as e: return e
    except BaseException as e: return e
    return None


def full_disk(name, write, rng):
    "A disk that is full after a part of the file: an OSError with its name, and the old file stays."
    path = Path(name)
    write(path)
    old = path.read_bytes()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = int(rng.integers(0, len(old)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    error = _error(lambda: write(path))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if error is None: return WRONG, f"{name}: no error, {size} of {len(old)} bytes fit"
    if not isinstance(error, OSError) or name not in str(error):
        return CRASH, f"{name}, {size} of {len(old)} bytes fit: {type(error).__name__}: {error}"
    if path.read_bytes() != old: return WRONG, f"{name}: the old file has changed"
    left = [f.name for f in Path(".").iterdir() if f.name != name]
    return (WRONG, f"{name}: leaves {left}") if left else (RIGHT, "")


def read_only(name, write, rng):
    "A folder in which nobody may write: an OSError that names it."
    folder = Path("locked")
    folder.mkdir()
    write(Path("before") / name)  # modules that it needs are imported
    folder.chmod(0o555)
    os.chmod(".", 0o755)
    if os.geteuid() == 0: os.setegid(65534), os.seteuid(65534)
    error = _error(lambda: write(folder / name))
    if os.getuid() == 0: os.seteuid(0), os.setegid(0)
    folder.chmod(0o755)
    if isinstance(error, OSError) and "locked" in str(error): return RIGHT, ""
    return CRASH, f"{name} in a read-only folder: {type(error).__name__}: {error}"


def names_folder(name, write, rng):
    "The output is a folder: an error with its name, and the folder stays."
    path = Path(name)
    path.mkdir()
    (path / "mine").write_text("x")
    error = _error(lambda: write(path))
    if not (path / "mine").exists(): return WRONG, f"{name}: the folder is gone"
    left = [f.name for f in Path(".").iterdir() if f.name != name]
    if left: return WRONG, f"{name}: leaves {left}"
    if isinstance(error, (OSError, ValueError)) and name in str(error): return RIGHT, ""
    return CRASH, f"{name} is a folder: {type(error).__name__}: {error}"


def missing_folder(name, write, rng):
    "A folder that is not there is made."
    write(Path("a/b") / name)
    return (RIGHT, "") if (Path("a/b") / name).is_file() else (WRONG, f"{name}: is not there")


def file_as_folder(name, write, rng):
    "A part of the path is a file: an error with a name."
    Path("a").write_text("x")
    error = _error(lambda: write(Path("a") / name))
    if isinstance(error, (OSError, ValueError)) and "a" in str(error): return RIGHT, ""
    return CRASH, f"{name} below a file: {type(error).__name__}: {error}"


def odd_name(name, write, rng):
    "Names with signs that shells and patterns know."
    for odd in ("**", "a*[b]?", "ü 1", "-x", "a" * 200):
        path = Path(f"{odd}.{name.rpartition('.')[2]}")
        write(path)
        if not path.is_file(): return WRONG, f"{path}: is not there"
        path.unlink()
    left = [f.name for f in Path(".").iterdir()]
    return (WRONG, f"{name}: leaves {left}") if left else (RIGHT, "")


def symbolic_link(name, write, rng):
    "A symbolic link: the target is written, or the link replaced, or an error; never a half of it."
    target, link = Path("target"), Path(name)
    target.write_text("old")
    link.symlink_to(target)
    error = _error(lambda: write(link))
    if error is not None and name not in str(error): return CRASH, f"{name}: {type(error).__name__}: {error}"
    whole = target.read_bytes() == b"old" or link.is_symlink()
    return (RIGHT, "") if whole else (WRONG, f"{name}: link and target have both changed")


def pipe(name, write, rng):
    "A FIFO is not replaced by a file."
    os.mkfifo(name)
    error = _error(lambda: write(Path(name)))
    if not stat.S_ISFIFO(os.stat(name).st_mode): return WRONG, f"{name}: the FIFO is gone"
    if isinstance(error, (OSError, ValueError)) and name in str(error): return RIGHT, ""
    return CRASH, f"{name} is a FIFO: {type(error).__name__}: {error}"


def same_bytes(name, write, rng):
    "Two equal runs write equal bytes."
    write(Path(name))
    one = Path(name).read_bytes()
    time.sleep(1.1 if name.endswith("hdf5") else 0)  # HDF5 may note the second
    write(Path(name))
    return (RIGHT, "") if Path(name).read_bytes() == one else (WRONG, f"{name}: two runs write other bytes")


def _write_often(write, path, n, errors):
    for _ in range(n):
        try: write(path)
        except BaseException as e: errors.append(f"{type(e).__name__}: {e}")


def together(name, write, rng):
    "Two threads and two processes write one path; it is whole at the end."
    path, pids = Path(name), []
    for _ in range(2):  # first: threads of polars do not survive a fork
        pid = os.fork()
        if pid == 0:
            errors = []
            _write_often(write, path, 4, errors)
            Path(f"error-{os.getpid()}").write_text("\n".join(errors))
            os._exit(0)
        pids.append(pid)
    for pid in pids: os.waitpid(pid, 0)
    errors = [Path(f"error-{pid}").read_text() for pid in pids]
    threads, more = [], []
    if name not in ("run.checkpoint", "run-log.csv"):  # an agent is trained in one thread
        threads = [threading.Thread(target=_write_often, args=(write, path, 4, more)) for _ in range(3)]
        for t in threads: t.start()
        for t in threads: t.join()
    errors = [e for e in [*errors, *more] if e]
    if errors: return CRASH, f"{name}: {errors[0]} ({len(errors)} errors)"
    left = [f.name for f in Path(".").iterdir() if f.name != name and not f.name.startswith("error-")]
    if left: return WRONG, f"{name}: leaves {left}"
    read = None if name == "run.checkpoint" else readers().get(name)  # it belongs to one run
    if read: read(path)
    return RIGHT, ""


def _atomic(path):
    with atomic_write(path) as part: part.write_bytes(os.urandom(1) * 4000)


def crowd(i):
    "Six threads or processes and a reader on one path of `atomic_write`: every state of it is whole."
    path, errors, stop = Path("shared.bin"), [], threading.Event()
    _atomic(path)

    def look():
        while not stop.is_set():
            data = path.read_bytes()
            whole = len(data) == 4000 and len(set(data)) == 1
            if not whole: errors.append(f"{len(data)} bytes of {len(set(data))} kinds")
    reader = threading.Thread(target=look)
    if i % 2:
        pids = []
        for _ in range(6):
            pid = os.fork()
            if pid == 0:
                mine = []
                _write_often(_atomic, path, 150, mine)
                os._exit(1 if mine else 0)
            pids.append(pid)
        reader.start()
        failed = sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)
        if failed: errors.append(f"{failed} of 6 processes had an error")
    else:
        threads = [threading.Thread(target=_write_often, args=(_atomic, path, 150, errors)) for _ in range(6)]
        reader.start()
        for t in threads: t.start()
        for t in threads: t.join()
    stop.set()
    reader.join()
    left = [f.name for f in Path(".").iterdir() if f.name != "shared.bin"]
    if left: errors.append(f"leaves {left}")
    who = "processes" if i % 2 else "threads"
    return (WRONG if errors else RIGHT), f"{who}: {errors[:1]}, {len(errors)} errors"


def workers(method):
    "Batches of a data set's file by two workers are those of one process."
    log = small_log(40, 60, 16)
    log.write("data.hdf5")
    small_vectors(log).save("vectors.safetensors")
    data = Dataset("data.hdf5", small_vectors(log))
    stream = BatchStream(data, batch_size=16, shuffle=False)
    options = dict(multiprocessing_context=method) if method else {}
    rows = [b.items for b in DataLoader(stream, batch_size=None, num_workers=2 if method else 0, **options)]
    want = [b.items for b in data.batches(16, shuffle=False)]
    key = lambda x: sorted(json.dumps(r) for r in torch.cat(x).tolist())
    return (RIGHT, "") if key(rows) == key(want) else (WRONG, f"workers by {method} give other windows")


def two_builders(name):
    "Two processes run the same command, or the same download, at once."
    write_inputs(".")
    server = Server(small_zip(200_000), pause=.004)
    try: return built_twice(name, server.url)
    finally: server.stop()


def built_twice(name, url):
    "Verdict of two processes that run one command: one at least is done, and what they leave is right."
    alone = Path("alone")
    alone.mkdir()
    for file in INPUTS: shutil.copy(file, alone)
    wait_for(run_command(name, alone, url))
    pids = [run_command(name, ".", url) for _ in range(2)]
    states = [wait_for(pid) for pid in pids]
    told = Path("command.txt").read_text()[-300:]
    if None in states: return HANG, f"{name}: {states}"
    if 0 not in states or any(s not in (0, 2) for s in states) or "Traceback" in told:
        return CRASH, f"{name}: {states}: {told}"
    same = arrays_of(name, ".") == arrays_of(name, alone)
    return (RIGHT, "") if same else (WRONG, f"{name}: another result")


def closed_pipe():
    "A reader that goes away is no error."
    write_inputs(".")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.dup2(write, 1)
        sys.stdout = open(1, "w", closefd=False)
        os._exit(main("prepare --ratings log.csv --out out.hdf5".split()))
    os.close(write), os.close(read)
    status = wait_for(pid)
    return (RIGHT, "") if status in (0, 141) else (CRASH, f"a closed pipe ends the command with {status}")


PLACES = (full_disk, full_disk, full_disk, read_only, names_folder, missing_folder, file_as_folder, odd_name,
          symbolic_link, pipe, same_bytes, together)


def writing_cases():
    "Tries of the campaign: (name, function of a random generator)."
    cases = []
    for name, write in writers().items():
        for place, how in enumerate(PLACES):
            cases.append((f"{name} {how.__name__} {place}", lambda rng, how=how, name=name, write=write:
                          how(name, write, rng)))
    cases += [(f"crowd {i}", lambda rng, i=i: crowd(i)) for i in range(10)]
    cases += [(f"workers {m}", lambda rng, m=m: workers(m)) for m in (None, "fork", "spawn", "forkserver")]
    cases += [(f"two builders {n}", lambda rng, n=n: two_builders(n)) for n in COMMANDS]
    return [*cases, ("closed pipe", lambda rng: closed_pipe())]
