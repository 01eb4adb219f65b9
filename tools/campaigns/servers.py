"""HTTP servers that lie, break off or never end, and the download that has to live with them."""
import asyncio
import hashlib
import io
import json
import os
import signal
import time
import traceback
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import numpy as np

from campaigns.tries import CLEAR, CRASH, RIGHT, WRONG, judge
from recnn.data import movielens
from recnn.items.tmdb import TMDBClient

NAME = "ml-latest-small"


def small_zip(noise=20_000, extra=()):
    "A zip as GroupLens has it: `noise` bytes of a file that does not pack, and further members."
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        ratings = "".join(f"{i},{i % 7 + 1},4.0,{10**9 + i}\n" for i in range(1, 99))
        films = "".join(f"{i},Title {i} (1999),Drama\n" for i in range(1, 9))
        z.writestr(f"{NAME}/ratings.csv", "userId,movieId,rating,timestamp\n" + ratings)
        z.writestr(f"{NAME}/movies.csv", "movieId,title,genres\n" + films)
        z.writestr(f"{NAME}/README.txt", np.random.default_rng(0).bytes(noise))
        for name, data in extra: z.writestr(name, data)
    return out.getvalue()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_GET(self):
        try: self.server.answer(self)
        except (BrokenPipeError, ConnectionResetError, TimeoutError): pass
        self.close_connection = True


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *_): pass


def send(h, status=200, body=b"", headers=(), length=None):
    "Send a reply."
    h.send_response(status)
    h.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in headers: h.send_header(name, value)
    h.end_headers()
    h.wfile.write(body)


def part_of(data, start):
    "Header of a part of a file."
    return f"bytes {start}-{len(data) - 1}/{len(data)}"


def honest(data, pause=0., tag='"a"'):
    "Answer with a file, whole or from a byte on, and with its MD5."
    def answer(h):
        note = f"{hashlib.md5(data).hexdigest()}  {NAME}.zip\n".encode()
        if h.path.endswith(".md5"): return send(h, body=note)
        asked = h.headers.get("Range")
        start = int(asked[6:].rstrip("-")) if asked and h.headers.get("If-Range") == tag else 0
        if start >= len(data): return send(h, 416)
        sent = [("ETag", tag), *([("Content-Range", part_of(data, start))] if start else [])]
        send(h, 206 if start else 200, b"", sent, len(data) - start)
        for a in range(start, len(data), 8192):
            h.wfile.write(data[a:a + 8192])
            if pause: time.sleep(pause)
    return answer


class Server:
    "A server in a child process."
    def __init__(self, data=None, answer=None, pause=0.):
        server = _Quiet(("127.0.0.1", 0), _Handler)
        server.answer = answer or honest(data, pause)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.pid = os.fork()
        if self.pid == 0:
            try: server.serve_forever()
            finally: os._exit(0)
        server.server_close()
    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


# ---------------------------------------------------------------- lies

def on_zip(lie):
    "A lie about the zip; its MD5 is told as it is."
    data = small_zip()
    true = honest(data)
    return lambda h: true(h) if h.path.endswith(".md5") else lie(h, data)


def on_md5(lie):
    "A lie about the MD5; the zip is sent as it is."
    data = small_zip()
    true = honest(data)
    return lambda h: lie(h, data) if h.path.endswith(".md5") else true(h)


def other_zip(make):
    "Another zip, with its own MD5."
    return honest(make())


def raw(text):
    "A lie that writes bytes of its own."
    return lambda h, data: h.wfile.write(text)


def endless(first, more, pause=0.):
    "A lie that never ends."
    def lie(h, data):
        h.wfile.write(first)
        while True:
            h.wfile.write(more)
            if pause: time.sleep(pause)
    return lie


def redirect(to, status=302): return lambda h, data: send(h, status, headers=[("Location", to)])


def packed(n):
    "Bytes that unpack to `n` zeros, by gzip."
    import gzip
    return gzip.compress(bytes(n))


def damaged_zip(change):
    data = bytearray(small_zip())
    change(data)
    return bytes(data)


def _flip(at):
    def change(data): data[at] ^= 255
    return change


def _link():
    out = io.BytesIO(small_zip())
    with zipfile.ZipFile(out, "a") as z:
        info = zipfile.ZipInfo(f"{NAME}/link")
        info.external_attr = 0o120777 << 16
        z.writestr(info, "/etc/passwd")
    return out.getvalue()


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LIES = dict(  # name -> answer of the server
    honest=honest(small_zip()), no_md5=on_md5(lambda h, d: send(h, 404)),
    unasked_206=on_zip(lambda h, d: send(h, 206, d[9:], [("Content-Range", part_of(d, 9))])),
    unasked_206_all=on_zip(lambda h, d: send(h, 206, d, [("Content-Range", part_of(d, 0))])),
    bare_206=on_zip(lambda h, d: send(h, 206, d[9:])),
    long_length=on_zip(lambda h, d: send(h, 200, d, length=10**12)),
    length_5000=on_zip(lambda h, d: send(h, 200, d, length="9" * 5000)),
    length_minus=on_zip(lambda h, d: send(h, 200, d, length=-1)),
    length_word=on_zip(lambda h, d: send(h, 200, d, length="many")),
    length_arabic=on_zip(lambda h, d: h.wfile.write(HEAD + "Content-Length: ٣\r\n\r\n".encode() + d)),
    short=on_zip(lambda h, d: send(h, 200, d[:999], length=len(d))),
    more=on_zip(lambda h, d: send(h, 200, d + b"x" * 99, length=len(d))), empty=on_zip(lambda h, d: send(h)),
    two_lengths=on_zip(lambda h, d: send(h, 200, d, [("Content-Length", "3")])),
    other_bytes=on_zip(lambda h, d: send(h, 200, bytes(len(d)))),
    page=on_zip(lambda h, d: send(h, 200, b"<html>hi</html>")),
    endless=on_zip(endless(HEAD + b"\r\n", bytes(1 << 16))),
    endless_chunks=on_zip(endless(CHUNKED, b"10000\r\n" + bytes(1 << 16) + b"\r\n")),
    bad_chunks=on_zip(raw(CHUNKED + b"zz\r\nx")),
    huge_chunk=on_zip(raw(CHUNKED + b"ffffffffffffffff\r\nx")),
    endless_1xx=on_zip(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    endless_102=on_zip(endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n", .01)),
    endless_headers=on_zip(endless(HEAD, b"X: y\r\n")),
    endless_header=on_zip(endless(HEAD + b"X: ", b"y" * 999)),
    endless_status=on_zip(endless(b"HTTP/1.1 200 ", b"O" * 999)),
    slow_header=on_zip(endless(HEAD, b"X", .1)), slow_bytes=on_zip(lambda h, d: slow(h, d)),
    silent=on_zip(lambda h, d: time.sleep(600)), gone=on_zip(lambda h, d: None),
    no_http=on_zip(raw(b"hello\r\n\r\n")),
    status_999=on_zip(raw(b"HTTP/1.1 999 ?\r\nContent-Length: 0\r\n\r\n")),
    status_word=on_zip(raw(b"HTTP/1.1 abc ?\r\n\r\n")), not_found=on_zip(lambda h, d: send(h, 404)),
    forbidden=on_zip(lambda h, d: send(h, 403)), broken=on_zip(lambda h, d: send(h, 500)),
    range_416=on_zip(lambda h, d: send(h, 416)), no_content=on_zip(lambda h, d: send(h, 204)),
    not_modified=on_zip(lambda h, d: send(h, 304)), to_file=on_zip(redirect("file:///etc/passwd")),
    to_ftp=on_zip(redirect("ftp://127.0.0.1:9/x")), to_data=on_zip(redirect("data:text/plain,x")),
    to_self=on_zip(lambda h, d: redirect(h.path)(h, d)), to_nothing=on_zip(redirect("")),
    to_odd=on_zip(redirect("http://[")), to_port=on_zip(redirect("http://127.0.0.1:99999999/x")),
    to_many=on_zip(lambda h, d: redirect(h.path + "x")(h, d)),
    gzip=on_zip(lambda h, d: send(h, 200, packed(1 << 26), [("Content-Encoding", "gzip")])),
    md5_wrong=on_md5(lambda h, d: send(h, 200, b"0" * 32)),
    md5_long=on_md5(endless(HEAD + b"\r\n", bytes(1 << 16))),
    md5_word=on_md5(lambda h, d: send(h, 200, b"no such thing")),
    md5_binary=on_md5(lambda h, d: send(h, 200, bytes(range(256)))), md5_empty=on_md5(lambda h, d: send(h)),
    md5_500=on_md5(lambda h, d: send(h, 500)), md5_silent=on_md5(lambda h, d: time.sleep(600)),
    zip_cut=other_zip(lambda: small_zip()[:-60]), zip_half=other_zip(lambda: small_zip()[:4000]),
    zip_none=other_zip(lambda: b"PK"), zip_flip=other_zip(lambda: damaged_zip(_flip(80))),
    zip_directory=other_zip(lambda: damaged_zip(_flip(-40))),
    zip_name=other_zip(lambda: damaged_zip(_flip(33))),
    zip_up=other_zip(lambda: small_zip(9, [("../evil", "x")])),
    zip_root=other_zip(lambda: small_zip(9, [("/evil", "x")])),
    zip_back=other_zip(lambda: small_zip(9, [("a\\..\\evil", "x")])), zip_link=other_zip(_link),
    zip_bomb=other_zip(lambda: small_zip(9, [(f"{NAME}/big", bytes(1 << 28))])),
    zip_many=other_zip(lambda: small_zip(9, [(f"{NAME}/{i}", "x") for i in range(5000)])),
    zip_other=other_zip(lambda: small_zip(9).replace(NAME.encode(), b"ml-latest-large"[:len(NAME)])))


def slow(h, data):
    "One byte every 50 ms."
    send(h, 200, b"", [("ETag", '"a"')], len(data))
    for byte in data:
        h.wfile.write(bytes([byte]))
        time.sleep(.05)


SHORT = dict(deadline=6., timeout=1.5, window=2.)  # seconds: of a download, of a silence, of a slow stretch


def fetch(url):
    "Download with short deadlines; the bytes of the log."
    quick = partial(movielens._fetch, **SHORT)
    with mock.patch.object(movielens, "_fetch", quick):
        folder = movielens.download(NAME, ".", url, tries=2, wait=.01)
    return (folder / "ratings.csv").read_bytes()


def lied(i):
    "One lying server, then an honest one: an error with the URL, and the next call is right."
    name = list(LIES)[i]
    server, right = Server(answer=LIES[name]), Server(small_zip())
    want = zipfile.ZipFile(io.BytesIO(small_zip())).read(f"{NAME}/ratings.csv")
    differs = lambda found: "" if found == want else f"another log of {len(found)} bytes"
    try:
        verdict, detail = judge(lambda: fetch(server.url), differs, rf"127\.0\.0\.1|{NAME}\.zip|{NAME}:")
        outside = [p.name for p in Path("..").iterdir() if p.name == "evil"]
        if outside: return WRONG, f"{name}: wrote outside its folder"
        if verdict not in (RIGHT, CLEAR): return verdict, f"{name}: {detail}"
        again, told = judge(lambda: fetch(right.url), differs, "127")
        if again != RIGHT: return CRASH, f"{name}: then an honest server: {told}; before: {detail}"
        return verdict, f"{name}: {detail}"
    finally:
        server.stop(), right.stop()


# ---------------------------------------------------------------- lies of an API with a key

KEY = "abcdefgh0123456789"
FILM = dict(id=862, title="Toy Story", release_date="1995-10-30", genres=[dict(id=1, name="Comedy")])


def answer(body, status=200, headers=()):
    "A lie that sends JSON, or bytes as they are."
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda h: send(h, status, data, [("Content-Type", "application/json"), *headers])


def changed(**fields): return answer(FILM | fields)


def endless_api(*words): return lambda h: endless(*words)(h, b"")


API_LIES = dict(  # name -> answer of the server
    honest=answer(FILM), none=answer(dict(status_code=34, status_message="none"), 404),
    other=changed(id=863), text_id=changed(id="862"), float_id=changed(id=862.5),
    huge_id=answer(b'{"id": 1' + b"0" * 400 + b"}"),
    long_number=answer(json.dumps(FILM)[:-1].encode() + b', "budget": ' + b"9" * 5000 + b"}"),
    big_float=answer(json.dumps(FILM)[:-1].encode() + b', "budget": 1e999}'),
    nan=changed(popularity=float("nan")), deep=answer(b"[" * 100_000),
    deep_object=answer(b'{"a":' * 100_000),
    deep_field=answer(json.dumps(FILM)[:-1].encode() + b', "genres": ' + b"[" * 9999 + b"]" * 9999 + b"}"),
    list=answer([1, 2]), text=answer("hello"), null=answer(None), empty=answer(b""), page=answer(b"<html>"),
    latin=answer(b'{"id": 862, "title": "\xe9"}'), half=answer(json.dumps(FILM)[:20].encode()),
    genres=changed(genres="Comedy"), genre=changed(genres=[1]), title=changed(title=[1]),
    date=changed(release_date="soon"), year=changed(release_date="9" * 400),
    collection=changed(belongs_to_collection=7), surrogate=answer(b'{"id": 862, "title": "\\ud800"}'),
    key=changed(title=KEY), wide=changed(overview="x" * (1 << 24)),
    gzip=lambda h: send(h, 200, packed(1 << 29), [("Content-Encoding", "gzip")]),
    bad_gzip=answer(b"xx", headers=[("Content-Encoding", "gzip")]),
    odd_coding=answer(FILM, headers=[ ("Content-Encoding", "zip")]),
    key_refused=answer(dict(status_message=f"bad key {KEY}"), 401), forbidden=answer({}, 403),
    missing=answer({}, 404), rejected=answer({}, 422), broken=answer({}, 500), busy=answer({}, 429),
    wait_long=answer({}, 429, [("Retry-After", "1000000")]),
    wait_digits=answer({}, 429, [("Retry-After", "9" * 4000)]),
    wait_minus=answer({}, 429, [("Retry-After", "-1")]),
    wait_word=answer({}, 503, [("Retry-After", "soon")]),
    wait_date=answer({}, 429, [("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")]),
    length_5000=lambda h: send(h, 200, b"{}", length="9" * 5000),
    length_long=lambda h: send(h, 200, b"{}", length=10**12),
    endless=endless_api(HEAD + b"\r\n", b" " * (1 << 16)),
    endless_1xx=endless_api(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    endless_headers=endless_api(HEAD, b"X: y\r\n"),
    slow_bytes=endless_api(HEAD + b"Content-Length: 9999\r\n\r\n", b" ", .1),
    silent=lambda h: time.sleep(600), no_http=lambda h: h.wfile.write(b"hello\r\n\r\n"), gone=lambda h: None,
    to_file=answer({}, 302, [("Location", "file:///etc/passwd")]),
    to_self=lambda h: send(h, 302, headers=[("Location", h.path)]), to_other=None)


def told_with_locals(error):
    "An error, its causes, and the local variables of every frame that it passed but those of this file."
    parts = []
    while error is not None:
        parts.append(f"{error!r}")
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename == __file__: continue
            for value in frame.f_locals.values():
                try: parts.append(repr(value))
                except Exception: pass  # half a reply has no text
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "|".join(parts)


def ask(url):
    "One film of the API, with short deadlines; no trace of the key may be left."
    async def run():
        options = dict(retries=1, backoff=.01, timeout=1.5, max_wait=3., rate=100.)
        async with TMDBClient("answers.jsonl", key=KEY, base_url=url, **options) as client:
            return await client.movie(862)
    try: return asyncio.run(run())
    except BaseException as e:
        if KEY in told_with_locals(e): raise RuntimeError("the key stands in the traceback") from None
        raise


def lied_api(i):
    "One lying API: the right film, none, or an error that names the request; the key is nowhere."
    name, spy = list(API_LIES)[i], Path("spy.txt").absolute()
    other = Server(answer=lambda h: (spy.write_text(h.path + str(h.headers)), answer(FILM)(h)))
    lie = API_LIES[name] or answer({}, 302, [("Location", f"{other.url}/movie/862")])
    server = Server(answer=lie)

    def differs(found):
        if found is None: return "" if name == "none" else "no film"
        return "" if found.get("id") == 862 and name not in WRONG_FILMS else f"was taken: {str(found)[:80]}"
    try:
        verdict, detail = judge(lambda: ask(server.url), differs, r"movie/862|TMDB")
        if spy.exists() and KEY in spy.read_text(): return WRONG, f"{name}: the key was sent to another host"
        written = Path("answers.jsonl").read_text(errors="replace")
        if KEY in written: return WRONG, f"{name}: the key is in a file"
        return verdict, f"{name}: {detail}"
    finally:
        server.stop(), other.stop()


WRONG_FILMS = {"other", "float_id", "huge_id", "genres", "genre", "title", "collection", "half", "list"}
