"""Tries in forked children, a verdict each; a child that dies, hangs or takes all memory gives one too."""
import dataclasses
import faulthandler
import hashlib
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

RIGHT, CLEAR, WRONG, CRASH, HANG = "right", "clear error", "silently wrong", "crash", "hang"
VERDICTS = RIGHT, CLEAR, WRONG, CRASH, HANG
CLEAR_ERRORS = ValueError, KeyError, TypeError, OSError, ImportError
SAY = 300  # characters of a detail that are kept


def generator(*words):
    "A random generator for words and numbers: the same for the same words."
    digest = hashlib.blake2b(repr(words).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def describe(error):
    "An error as text with its class."
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return f"{type(error).__name__}: {text}"


def judge(call, differs, names):
    """Verdict and detail of a call.

    `differs` says in what the result is wrong ('' for a right one); `names` is a regular expression of what a
    clear error has to name.
    """
    try:
        found = call()
    except CLEAR_ERRORS as e:
        return (CLEAR if re.search(names, str(e)) else CRASH), describe(e)
    except BaseException as e:  # a panic of polars is no Exception
        where = traceback.extract_tb(e.__traceback__)[-1]
        return CRASH, f"{describe(e)} (in {where.name})"
    why = differs(found)
    return (WRONG, why) if why else (RIGHT, "")


def digest(x):
    "Hash of arrays, tensors, tables, dataclasses and what holds them."
    sha = hashlib.sha256()
    _feed(sha, x)
    return sha.hexdigest()


def _feed(sha, x):
    "Feed a value to a hash, with its type where values of two types may look alike."
    if hasattr(x, "detach"): x = x.detach().cpu().contiguous().numpy()
    if hasattr(x, "to_dict") and hasattr(x, "columns"): x = {c: np.asarray(x[c]) for c in x.columns}
    if isinstance(x, np.ndarray) and x.dtype.kind not in "OU":
        sha.update(f"{x.dtype}{x.shape}".encode() + np.ascontiguousarray(x).tobytes())
    elif dataclasses.is_dataclass(x):
        _feed(sha, {f.name: getattr(x, f.name) for f in dataclasses.fields(x)})
    elif isinstance(x, dict):
        for key in x: _feed(sha, key), _feed(sha, x[key])
    elif isinstance(x, (list, tuple, np.ndarray)):
        sha.update(f"[{len(x)}".encode())
        for value in x: _feed(sha, value)
    else: sha.update(f"{type(x).__name__}:{x!r};".encode())


class Keep:
    "Folder of failing inputs, made when the first one comes."
    def __init__(self): self.folder = None
    def add(self, folder, name, detail):
        "Copy a try's folder, with the detail beside its files."
        if self.folder is None: self.folder = Path(tempfile.mkdtemp(prefix="siege-"))
        to = self.folder / name
        if to.exists(): return
        to.mkdir()
        (to / "verdict.txt").write_text(detail + "\n")
        for file in Path(folder).iterdir():
            if file.is_file() and file.stat().st_size < 1 << 24: shutil.copy(file, to)


def limit_memory(extra):
    "Let this process map at most `extra` more bytes."
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + extra
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _child(one, places, folder, memory, out):
    "Run tries one by one and write their verdicts as lines of JSON; never returns."
    status = 1
    try:
        os.setsid()
        log = os.open(Path(folder).parent / "output.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        sys.stdout = sys.stderr = open(log, "w", buffering=1, closefd=False)
        faulthandler.enable(log)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory: limit_memory(memory)
        for i in places:
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            os.chdir(folder)
            os.write(out, b"begin\n")
            verdict, detail = one(i)
            os.write(out, (json.dumps([i, verdict, detail[:SAY]]) + "\n").encode())
            if verdict not in (RIGHT, CLEAR): os.kill(os.getpid(), signal.SIGSTOP)  # until it is copied
        status = 0
    except BaseException:
        traceback.print_exc()
    finally: os._exit(status)


def _start(one, places, folder, memory):
    "Fork a child for some tries: its process id and the pipe of its verdicts."
    sys.stdout.flush(), sys.stderr.flush()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _child(one, places, folder, memory, write)
    os.close(write)
    return pid, read


def _lines(read, deadline):
    "Lines of a child; None where the next one does not come within the deadline."
    text = b""
    while True:
        if not select.select([read], [], [], deadline)[0]:
            yield None
            return
        chunk = os.read(read, 1 << 16)
        if not chunk: return
        text += chunk
        *lines, text = text.split(b"\n")
        yield from lines


def end_group(pid):
    "Kill a child and what it started; its exit status."
    try: os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError: pass
    return os.waitpid(pid, 0)[1]


def run_tries(name, n, one, keep, deadline=20., memory=0, label=None, fresh=False):
    """Counts of the verdicts of `one(i)`, i from 0 to n-1, and the first faults in words.

    `one` runs in a forked child, in an empty folder of its own, and returns a verdict and a detail. A child
    that ends or that says nothing for `deadline` seconds is a crash or a hang of the try that it was at.
    `label` names a try; `fresh`: a child for each.
    """
    counts, faults, done, start = dict.fromkeys(VERDICTS, 0), [], 0, time.time()
    base = Path(tempfile.mkdtemp(prefix="siege-work-"))
    folder = base / "try"

    def count(i, verdict, detail):
        counts[verdict] += 1
        if verdict in (RIGHT, CLEAR): return
        keep.add(folder, f"{name.replace(' ', '-')}-{i}", f"{verdict}: {detail}")
        faults.append(f"try {i}, {verdict}: {detail}".replace(str(folder), "").replace(str(base), ""))

    try:
        while done < n:
            pid, read = _start(one, range(done, done + 1 if fresh else n), folder, memory)
            died, first = "ended", done
            for line in _lines(read, deadline):
                if line is None: died = "hang"
                elif line.startswith(b"["):
                    i, verdict, detail = json.loads(line)
                    count(i, verdict, detail)
                    done = i + 1
                    if verdict not in (RIGHT, CLEAR):
                        os.waitpid(pid, os.WUNTRACED)
                        os.kill(pid, signal.SIGCONT)
            os.close(read)
            status = end_group(pid)
            if done >= n or done > first and fresh: continue
            of = f"{label(done)}: " if label else ""
            if died == "hang": count(done, HANG, f"{of}no answer within {deadline:g} s")
            else:
                last = (base / "output.txt").read_text(errors="replace").strip().splitlines()[-30:]
                signal_ = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "status 1"
                count(done, CRASH, f"{of}the process ended with {signal_}: " + " / ".join(last)[-SAY:])
            done += 1
    finally: shutil.rmtree(base, ignore_errors=True)
    return counts, faults, time.time() - start
