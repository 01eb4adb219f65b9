"""Chromium without a window, driven by its own protocol through a pipe; needs nothing but Python."""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"
FLAGS = """--headless --no-sandbox --disable-gpu --remote-debugging-pipe --no-first-run --hide-scrollbars
--disable-sync --disable-background-networking --disable-component-update
--disable-dev-shm-usage --mute-audio""".split()
KEYS = dict(Enter=13, End=35, Home=36, ArrowLeft=37, ArrowUp=38, ArrowRight=39, ArrowDown=40)
TROUBLE = "error", "warning"


def find_chromium():
    "The browser's program: that of CHROMIUM, or the first on the path; None without one."
    names = filter(None, (os.environ.get("CHROMIUM"), *NAMES))
    return next((found for n in names if (found := shutil.which(n))), None)


class Browser:
    "A process of Chromium."
    def __init__(self, program):
        self.home = tempfile.mkdtemp(prefix="recnn-browser-")
        to_child, self.out = os.pipe()
        self.inp, from_child = os.pipe()
        words = [program, *FLAGS, f"--user-data-dir={self.home}"]
        redirect = f'exec "$@" 3<&{to_child} 4>&{from_child}'  # the protocol speaks on these two
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", redirect, "sh", *words], pass_fds=(to_child, from_child),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        for end in (to_child, from_child): os.close(end)
        self.n, self.answers, self.events, self.changed = 0, {}, [], threading.Condition()
        self.alive = True
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        "Read answers and events until the browser ends."
        rest = b""
        with suppress(OSError):
            while part := os.read(self.inp, 1 << 20):
                *whole, rest = (rest + part).split(b"\0")
                with self.changed:
                    for message in map(json.loads, whole):
                        if "id" in message: self.answers[message["id"]] = message
                        else: self.events.append(message)
                    self.changed.notify_all()
        with self.changed:
            self.alive = False
            self.changed.notify_all()

    def ask(self, method, session=None, timeout=60, **params):
        "The result of a command."
        self.n += 1
        message = dict(id=self.n, method=method, params=params)
        if session: message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data: data = data[os.write(self.out, data):]
        with self.changed:
            self.changed.wait_for(lambda: self.n in self.answers or not self.alive, timeout)
            if self.n not in self.answers: raise RuntimeError(f"the browser does not answer {method}")
            answer = self.answers.pop(self.n)
        if "error" in answer: raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def close(self):
        "End the process and remove its profile."
        with suppress(Exception): self.ask("Browser.close", timeout=5)
        with suppress(subprocess.TimeoutExpired): self.process.wait(5)
        if self.process.poll() is None: self.process.kill()
        shutil.rmtree(self.home, ignore_errors=True)


class Page:
    "A tab of a width, light or dark; `script` runs in each page before its own."
    def __init__(self, browser, url, width=1300, height=900, dark=False, script=""):
        self.browser, self.url, self.first = browser, url, len(browser.events)
        self.target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.ask("Target.attachToTarget", targetId=self.target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"): self.ask(f"{domain}.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                 mobile=width < 600)
        scheme = dict(name="prefers-color-scheme", value="dark" if dark else "light")
        still = dict(name="prefers-reduced-motion", value="reduce")
        self.ask("Emulation.setEmulatedMedia", features=[scheme, still])
        self.ask("Page.addScriptToEvaluateOnNewDocument", source=script)
        self.go(url)

    def ask(self, method, **params): return self.browser.ask(method, self.session, **params)

    def go(self, url):
        "Load a page anew."
        for u in ("about:blank", url): self.ask("Page.navigate", url=u)

    def js(self, code, *args):
        "The value of an expression of JavaScript, or of a function of `args`; promises are awaited."
        if args: code = f"{code}({', '.join(map(json.dumps, args))})"
        got = self.ask("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True,
                       userGesture=True)
        if error := got.get("exceptionDetails"):
            raise RuntimeError(f"{code[:80]}: {error.get('exception', {}).get('description')}")
        return got["result"].get("value")

    def wait(self, code, seconds=30):
        "The first true value of an expression; a `TimeoutError` where there is none."
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(RuntimeError):
                if found := self.js(code): return found
            time.sleep(.02)
        raise TimeoutError(f"{code} is not true after {seconds} s; {'; '.join(self.trouble())}")

    def type(self, text): self.ask("Input.insertText", text=text)

    def key(self, name):
        "Press a key."
        for kind in ("keyDown", "keyUp"):
            text = dict(text="\r") if name == "Enter" and kind == "keyDown" else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=name, code=name,
                     windowsVirtualKeyCode=KEYS[name], **text)

    def shot(self, path, whole=True):
        "Write a picture of the page, or of what the window shows."
        self.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        picture = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(picture["data"]))

    def trouble(self):
        "Errors and warnings of the page, and requests to other hosts."
        host = self.url.split("/")[2]
        for e in self.browser.events[self.first:]:
            p, kind = e["params"], e["method"]
            if e.get("sessionId") != self.session: continue
            if kind == "Runtime.exceptionThrown":
                yield f"exception: {p['exceptionDetails'].get('exception', {}).get('description')}"
            if kind == "Runtime.consoleAPICalled" and p["type"] in TROUBLE: yield f"console: {p['args'][:1]}"
            if kind == "Log.entryAdded" and p["entry"]["level"] in TROUBLE: yield f"log: {p['entry']['text']}"
            if kind != "Network.requestWillBeSent": continue
            url = p["request"]["url"]
            inside = url.startswith(("about:", "blob:", "data:")) or url.split("/")[2] == host
            if not inside: yield f"request to {url}"

    def close(self): self.browser.ask("Target.closeTarget", targetId=self.target)
