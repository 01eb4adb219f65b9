"""Hostile files: pickles that call functions, bombs, and HDF5 files that no program of ours has written."""
import io
import pickle
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import torch

from campaigns.files import FORMS, log_digest, small_log, small_vectors
from campaigns.tries import CLEAR, CRASH, RIGHT, judge
from recnn.data.export import write_static
from recnn.data.log import Log
from recnn.data.windows import Dataset
from recnn.items.pickles import read_pickle, read_vectors

MARK = "executed"  # a gadget that runs makes this file
SHELL, CODE, URL = f"touch {MARK}", f"open({MARK!r}, 'w')", "http://127.0.0.1:9/"
GLOBALS = {  # module.name -> arguments that make the file, or that would act in another way
    "os.system": (SHELL,), "posix.system": (SHELL,), "nt.system": (SHELL,), "os.popen": (SHELL,),
    "os.execvp": ("touch", ["touch", MARK]), "os.spawnlp": (0, "touch", "touch", MARK),
    "os.open": (MARK, 64), "os.mkdir": (MARK,), "os.putenv": ("A", "B"), "os.kill": (0, 0), "os._exit": (0,),
    "os.fork": (), "builtins.eval": (CODE,), "builtins.exec": (CODE,), "builtins.open": (MARK, "w"),
    "io.open": (MARK, "w"), "builtins.__import__": ("antigravity",), "builtins.getattr": ("x", "upper"),
    "builtins.compile": (CODE, "", "exec"), "builtins.input": (), "builtins.globals": (),
    "builtins.print": ("x",), "builtins.map": (str, [1]), "builtins.setattr": ("x", "y", 1),
    "__builtin__.eval": (CODE,), "__builtin__.file": (MARK, "w"), "__builtin__.execfile": (MARK,),
    "__builtin__.apply": (CODE,), "subprocess.Popen": (["touch", MARK],),
    "subprocess.run": (["touch", MARK],), "subprocess.check_output": (["touch", MARK],),
    "pty.spawn": (["touch", MARK],), "commands.getoutput": (SHELL,), "code.interact": (), "pdb.run": (CODE,),
    "timeit.timeit": (CODE,), "cProfile.run": (CODE,), "profile.run": (CODE,), "trace.Trace": (),
    "runpy.run_path": (MARK,), "runpy.run_module": ("this",), "importlib.import_module": ("this",),
    "importlib.__import__": ("this",), "imp.load_source": ("x", MARK), "pkgutil.get_loader": ("this",),
    "pydoc.locate": ("os.system",), "webbrowser.open": (URL,), "urllib.request.urlopen": (URL,),
    "socket.create_connection": (("127.0.0.1", 9),), "shutil.rmtree": (MARK,),
    "shutil.copyfile": ("input", MARK), "pathlib.Path.touch": (MARK,), "pathlib.Path": (MARK,),
    "tempfile.mkdtemp": (), "functools.partial": (print, 1), "operator.methodcaller": ("system", SHELL),
    "operator.attrgetter": ("system",), "types.FunctionType": (), "types.CodeType": (),
    "marshal.loads": (b"",), "ctypes.CDLL": ("libc.so.6",), "_ctypes.dlopen": ("libc.so.6", 1),
    "sys.exit": (1,), "sys.setrecursionlimit": (10,), "gc.get_objects": (), "logging.config.listen": (),
    "pickle.loads": (b"N.",), "_pickle.loads": (b"N.",), "dill.loads": (b"",), "cloudpickle.loads": (b"",),
    "joblib.load": (MARK,), "pandas.read_pickle": ("input",), "pandas.eval": (CODE,),
    "pandas.io.common.get_handle": (), "numpy.load": ("input",), "numpy.fromfile": ("input",),
    "numpy.memmap": (MARK, "uint8", "w+"), "numpy.testing._private.utils.runstring": (CODE, {}),
    "numpy.f2py.crackfortran.getlincoef": (CODE, []), "numpy.lib.utils.safe_eval": (CODE,),
    "numpy.core.multiarray.fromfile": ("input",), "numpy.ctypeslib.load_library": ("c", "/"),
    "numpy.save": (MARK, 1), "scipy.io.savemat": (MARK, {}), "torch.load": ("input",),
    "torch.hub.load": ("a/b", "c"), "torch.jit.load": ("input",), "torch.save": (1, MARK),
    "torch.utils.cpp_extension.load": ("x", MARK), "torch.storage._load_from_bytes": (b"N.",),
    "torch.serialization.load": ("input",), "torch.utils._config_module.load_config": (b"N.",),
    "torch.utils.data.datapipes.utils.decoder.basichandlers": ("x", b""), "torch._dynamo.optimize": (),
    "torch.from_file": (MARK, True, 9), "torch._C._log_api_usage_once": ("x",),
    "torch.distributed.rpc.shutdown": (),
    "torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression": (CODE, []),
    "torch._inductor.codecache.compile_file": (MARK, MARK, "0"), "sqlite3.connect": (MARK,),
    "h5py.File": (MARK, "w"), "zipfile.ZipFile": (MARK, "w"), "asyncio.run": (None,),
    "multiprocessing.Process": (), "multiprocessing.util.spawnv_passfds": (),
    "concurrent.futures.ThreadPoolExecutor": (), "threading.Thread": (), "signal.raise_signal": (9,),
    "resource.setrlimit": (7, (0, 0)), "atexit.register": (print,),
    "distutils.file_util.write_file": (MARK, ["x"]), "setuptools.sandbox.run_setup": (MARK, []),
    "bdb.Bdb.run": (CODE,), "doctest.debug_script": (CODE,), "idlelib.run.Executive": (),
    "lib2to3.pgen2.pgen.generate_grammar": ("input",), "recnn.io.atomic_write": (MARK,),
    "recnn.app.cli.main": (["--version"],), "recnn.items.pickles.write_pickle": ({}, MARK),
    "IPython.core.interactiveshell.InteractiveShell": (), "site.main": (), "ensurepip.bootstrap": (),
    "pip.main": ([],), "xmlrpc.client.ServerProxy": (URL,), "smtplib.SMTP": (), "ftplib.FTP": (),
    "http.client.HTTPConnection": ("a",), "collections.namedtuple": ("A", CODE),
    "dataclasses.make_dataclass": ("A", []), "enum.Enum": ("A", "b"), "re.compile": ("(a+)+$",),
    "copyreg._reconstructor": (object, object, None), "copyreg.__newobj__": (object,)}
HOWS = "reduce0", "reduce2", "reduce4", "inst", "obj", "newobj", "newobj_ex", "build", "key"


def words(value):
    "Opcodes of protocol 2 that put a value on the stack."
    return pickle.dumps(value, 2)[2:-1]


def gadget(name, args, how):
    "A pickle that calls a global in one of the ways that the format has."
    module, _, attribute = name.rpartition(".")
    plain = [a if isinstance(a, (str, bytes, int, list, dict, tuple, type(None))) else 0 for a in args]
    old, parts = f"c{module}\n{attribute}\n".encode(), b"".join(map(words, plain))
    new = words(module) + words(attribute) + b"\x93"
    call = dict(
        reduce0=old + b"(" + parts + b"tR", reduce2=b"\x80\x02" + old + b"(" + parts + b"tR",
        reduce4=b"\x80\x04" + new + b"(" + parts + b"tR",
        inst=b"(" + parts + f"i{module}\n{attribute}\n".encode(), obj=b"(" + old + parts + b"o",
        newobj=b"\x80\x02" + old + b"(" + parts + b"t\x81",
        newobj_ex=b"\x80\x04" + new + b"(" + parts + b"t}\x92", build=old + b"}" + words("x") + b"K\x01sb",
        key=old + b"(" + parts + b"tR")[how]
    start = b"\x80\x02" if how in ("key", "build", "reduce2") else b""
    call = call.removeprefix(b"\x80\x02") if start else call
    return start + (b"}" + call + b"K\x01s." if how == "key" else call + b".")


def wrap(data, shell):
    "A pickle in a file of another kind, and the name of that file."
    if shell == "pickle": return "input.pkl", data
    if shell == "legacy":
        magic = [0x1950a86a20f9469cfc6c, 1001, dict(protocol_version=1001, little_endian=True, type_sizes={})]
        return "input.pt", b"".join(pickle.dumps(m, 2) for m in magic) + data + pickle.dumps([], 2)
    if shell == "npy":
        head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
        return "input.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) + 1) + head + b"\n" + data
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, content in {"data.pkl": data, "byteorder": b"little", "version": b"3\n"}.items():
            z.writestr(f"archive/{name}", content)
    return "input.pt", out.getvalue()


GADGETS = [(name, how, shell) for name in GLOBALS for how, shell in
           [*((h, "pickle") for h in HOWS), ("reduce2", "zip"), ("reduce2", "legacy"), ("reduce4", "npy")]]


def refused(file, readers):
    "Verdict: every reader refuses the file by name, and nothing was executed."
    for read in readers:
        verdict, detail = judge(lambda: read(file), lambda found: f"was read as {str(found)[:80]}", file)
        if Path(MARK).exists(): return CRASH, "was executed"
        if verdict != CLEAR: return verdict, detail
    return CLEAR, detail


def tried_gadget(i):
    "One gadget, in all readers of pickles."
    name, how, shell = GADGETS[i]
    file, data = wrap(gadget(name, GLOBALS[name], how), shell)
    Path(file).write_bytes(data)
    verdict, detail = refused(file, (read_vectors, read_pickle))
    return verdict, f"{name}, {how}, {shell}: {detail}"


# ---------------------------------------------------------------- bombs

def _nested(n, one=b"("): return b"\x80\x02" + b"]" * n + b"a" * (n - 1) + b"."


def _doubled(n):
    "A list that holds the list before it twice, n times over: 2**n leaves in a few bytes."
    lists = b"".join(b"]q%c(h%ch%ce0" % (i + 1, i, i) for i in range(n))
    return b"\x80\x02]q\x00K\x01a0" + lists + b"h%c." % n


def _array(shape):
    "An array of eight bytes that declares another shape, as an opcode."
    return pickle.dumps({1: np.zeros(1)}, 2).replace(b"K\x01\x85q", shape + b"\x85q")


def _views(n):
    "One array under many keys."
    x = np.zeros(1 << 20)
    return pickle.dumps({i: x for i in range(n)}, 4)


def _torch_bytes(value):
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


def _strided(n): return _torch_bytes({1: torch.zeros(1).expand(n)})


def _deflated(value):
    "A torch archive whose members are packed."
    source, out = zipfile.ZipFile(io.BytesIO(_torch_bytes(value))), io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for entry in source.infolist(): z.writestr(entry.filename, source.read(entry))
    return out.getvalue()


def _numbers(*values): return pickle.dumps({i: v for i, v in enumerate(values)}, 4)


BOMBS = {  # name -> file, function that makes its content
    "nested list": ("bomb.pkl", lambda: _nested(200_000)), "deep list": ("bomb.pkl", lambda: _nested(900)),
    "doubled list": ("bomb.pkl", lambda: _doubled(60)), "doubled 25": ("bomb.pkl", lambda: _doubled(25)),
    "huge shape": ("bomb.pkl", lambda: _array(b"\x8a\x06\0\0\0\0\0\1")),
    "negative shape": ("bomb.pkl", lambda: _array(b"\x8a\x01\xff")),
    "views": ("bomb.pkl", lambda: _views(3000)), "strided": ("bomb.pt", lambda: _strided(2 * 10**9)),
    "strided pickle": ("bomb.pkl", lambda: pickle.dumps({1: torch.zeros(1).expand(10**9)}, 2)),
    "deflated": ("bomb.pt", lambda: _deflated({1: torch.zeros(1 << 27)})),
    "long text": ("bomb.pkl", lambda: b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60)),
    "long bytes": ("bomb.pkl", lambda: b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x."),
    "long frame": ("bomb.pkl", lambda: b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N."),
    "long number": ("bomb.pkl", lambda: b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b"x."),
    "text number": ("bomb.pkl", lambda: b"L" + b"9" * 10**6 + b"L\n."),
    "memo": ("bomb.pkl", lambda: b"\x80\x02]r\xff\xff\xff\x7f."),
    "nan": ("bomb.pkl", lambda: _numbers(np.full(2, np.nan), np.zeros(2))),
    "infinite": ("bomb.pkl", lambda: _numbers(np.full(2, np.inf))),
    "complex": ("bomb.pkl", lambda: _numbers(np.full(2, 1j))),
    "float key": ("bomb.pkl", lambda: pickle.dumps({1.5: np.zeros(2)})),
    "nan torch": ("bomb.pt", lambda: _torch_bytes({1: torch.full((2,), torch.nan)})),
    "complex torch": ("bomb.pt", lambda: _torch_bytes({1: torch.full((2,), 1j)})),
    "float key torch": ("bomb.pt", lambda: _torch_bytes({1.5: torch.zeros(2)})),
    "ragged": ("bomb.pkl", lambda: _numbers(np.zeros(2), np.zeros(3))), "empty": ("bomb.pkl", lambda: b""),
    "object array": ("bomb.pkl", lambda: _numbers(np.array([{}, None], object))),
    "self": ("bomb.pkl", lambda: b"\x80\x02]q\x00h\x00a."), "no key": ("bomb.pkl", lambda: pickle.dumps({}))}


def tried_bomb(i):
    "One bomb, as vectors."
    name = list(BOMBS)[i]
    file, make = BOMBS[name]
    Path(file).write_bytes(make())
    verdict, detail = refused(file, (read_vectors,))
    return verdict, f"{name}: {detail}"


# ---------------------------------------------------------------- HDF5

def _replace(key, make):
    "A change of a file: one array in another form."
    def change(f):
        old = f[key][:]
        del f[key]
        made = make(f, key, old)
        if made is not None: f[key] = made
    return change


def _dataset(**options): return lambda f, key, old: f.create_dataset(key, **options) and None


def _external(f, key, old):
    Path("secret.bin").write_bytes(bytes(old.nbytes))
    f.create_dataset(key, old.shape, old.dtype, external=[("secret.bin", 0, old.nbytes)])


def _virtual(f, key, old):
    with h5py.File("other.hdf5", "w") as other: other["x"] = old
    layout = h5py.VirtualLayout(old.shape, old.dtype)
    layout[:] = h5py.VirtualSource("other.hdf5", "x", old.shape)
    f.create_virtual_dataset(key, layout)


def _link(f, key, old):
    with h5py.File("other.hdf5", "w") as other: other["x"] = old
    f[key] = h5py.ExternalLink("other.hdf5", "x")


def _soft(f, key, old):
    f["elsewhere"] = old
    f[key] = h5py.SoftLink("/elsewhere")


def _loop(f, key, old): f[key] = h5py.SoftLink(f"/{key}")


def _objects(f, key, old):
    d = f.create_dataset(key, old.shape, h5py.special_dtype(vlen=np.dtype("int32")))
    if old.ndim == 1 and len(old): d[0] = [1, 2]


def _references(f, key, old):
    d = f.create_dataset(key, (len(old),), h5py.ref_dtype)
    d[0] = f.ref


KINDS = dict(
    objects=_objects, references=_references, external=_external, virtual=_virtual, link=_link, soft=_soft,
    loop=_loop,
    text=lambda f, key, old: f.create_dataset(key, data=["x"] * len(old), dtype=h5py.string_dtype()) and None,
    huge=_dataset(shape=(1 << 40,), dtype="int32", chunks=(1 << 10,)),
    huge8=_dataset(shape=(1 << 42,), dtype="uint8"),
    wide=_dataset(shape=(1 << 30, 1 << 10), dtype="float32", chunks=(1, 1 << 10)), scalar=_dataset(data=3),
    none=lambda f, key, old: f.create_dataset(key, data=h5py.Empty("int32")) and None,
    group=lambda f, key, old: f.create_group(key) and None,
    floats=lambda f, key, old: old.astype("float64") + .5,
    big=lambda f, key, old: old.astype(old.dtype.newbyteorder(">")), flat=lambda f, key, old: old[:0],
    shorter=lambda f, key, old: old[:-1], square=lambda f, key, old: np.stack([old, old]),
    nan=lambda f, key, old: np.full(old.shape, np.nan, "float32"),
    complex=lambda f, key, old: old.astype("complex64"),
    compound=lambda f, key, old: np.zeros(old.shape, [("a", "i4"), ("b", "f8")]),
    bools=lambda f, key, old: old > 0,
    beyond=lambda f, key, old: np.full(old.shape, 2**31 - 1, old.dtype) if old.itemsize >= 4 else old + 9,
    negative=lambda f, key, old: np.full(old.shape, -1, "int64"),
    time=lambda f, key, old: old.astype("int16"),
    bomb=_dataset(shape=(1 << 33,), dtype="uint8", chunks=(1 << 20,), compression="gzip"))
VALUES = dict(number=3, text="x", nan=np.nan, array=np.arange(9), huge=2**63 - 1, negative=-1, empty="",
              none=h5py.Empty("f"), bytes=np.void(b"\0\1"), json='{"a": [', list=["a", "b"],
              nested="[" * 100_000, long="9" * 100_000)


def _hdf5_cases():
    "Form, what, kind: each array in each wrong form, and each attribute with each wrong value."
    keys = dict(log=("item", "reward", "timestamp", "bounds", "split", "user_id", "items"),
                static=("movies", "ratings", "done", "user_id", "timestamp", "split"))
    attrs = dict(log=("format", "version", "source", "rewards", "n_ratings", "n_users", "n_items", "sha256"),
                 static=("reward_shift", "reward_scale", "source", "format", "version"))
    for form in keys:
        yield from ((form, key, kind) for key in keys[form] for kind in [*KINDS, "gone"])
        yield from ((form, f"@{name}", kind) for name in attrs[form] for kind in [*VALUES, "gone"])


HDF5 = list(_hdf5_cases())


def write_hdf5(folder):
    "The two files that are changed; their right digests."
    log = small_log()
    log.write(Path(folder) / "log.hdf5")
    write_static(Dataset(log, small_vectors(log)), Path(folder) / "static.hdf5")
    return {form: FORMS[form][1](Path(folder) / FORMS[form][0]) for form in ("log", "static")}


def _seal(path):
    "Give a changed file a checksum that fits, where its arrays can be read: an attacker can do that."
    from recnn.data import logfile
    with h5py.File(path, "a") as f:
        if "sha256" not in f.attrs: return
        try: f.attrs["sha256"] = logfile._checksum({k: f[k][:] for k in logfile._KEYS}, dict(f.attrs))
        except Exception: pass


OUTSIDE = {"external", "virtual", "link", "huge", "huge8", "wide", "bomb", "objects", "references", "text",
           "group"}


def unfit(log):
    "In what a log cannot be used; '' where it can."
    n, item, reward = log.n_users, np.asarray(log.item), np.asarray(log.reward)
    if len(item) and (item.min() < 0 or item.max() >= log.n_items): return "has an item beyond the catalogue"
    if not len(log.bounds) - 1 == len(log.split) == len(log.user_ids): return f"{n} users do not fit"
    if len(log.split) and np.asarray(log.split).max() > 2: return "has a part that is none of three"
    if not np.isfinite(reward.astype("float64")).all(): return "has a reward that is not finite"
    if not len(log.titles) == len(log.item_ids) == log.n_items: return "titles do not fit"
    if not len(item) == len(reward) == len(log.timestamp) == log.bounds[-1]: return "arrays do not fit"
    return "" if log.describe() else "has no description"


def tried_hdf5(i, folder, right):
    "One changed HDF5 file, opened as a log (read and mapped) and as data; every other one with a new hash."
    form, key, kind = HDF5[i // 2]
    file, sealed, verdict = FORMS[form][0], i % 2, (RIGHT, "")
    Path(file).write_bytes((Path(folder) / file).read_bytes())
    with h5py.File(file, "a") as f:
        if key.startswith("@"):
            if kind == "gone": f.attrs.pop(key[1:], None)
            else: f.attrs[key[1:]] = VALUES[kind]
        elif kind == "gone": del f[key]
        elif key in f: _replace(key, KINDS[kind])(f)
    if sealed and kind not in OUTSIDE: _seal(file)

    def differs(found):
        log = found.log if isinstance(found, Dataset) else found
        if kind in OUTSIDE and key[0] != "@": return "was read"
        if form == "log" and not sealed and not isinstance(found, Dataset):
            same = log_digest(log) == right[form]
            return "" if same else "another result"
        return unfit(log)
    for read in (lambda: Log.open(file), lambda: Log.open(file, True), lambda: Dataset(file)):
        one = judge(read, differs, file)
        if one[0] not in (RIGHT, CLEAR): return one[0], f"{form} {key} {kind}{', sealed' * sealed}: {one[1]}"
        verdict = one if one[0] == CLEAR else verdict
    return verdict
