"""Check the built site in a browser: widths, search, theme, missing pages, or its accessibility.

    python tools/site_check.py                      nothing scrolls sideways, search finds, the theme stays
    python tools/site_check.py --lighthouse         a score of accessibility for each main page, 95 at least
    python tools/site_check.py [options] PAGE...    these pages of docs/ only

docs/ is served on the loopback address as its host serves it: below the base of its address, with 404.html
for what is missing. Needs Node.js and Chromium, which CHROMIUM names or the path has; without a browser the
check is skipped loudly.
"""
import argparse
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from chromium import find_chromium
from npm import npm_package
from site_settings import BASE, DOCS, ROOT, read

SCORED = """index.html demo.html learn/basics.html use/quick_start.html agents/ddpg.html results/agents.html
    data/windows.html 404.html""".split()
MAIN = SCORED + """contents.html learn/path.html learn/glossary.html use/questions.html use/which_agent.html
    tutorials/own_log.html agents/nets.html results/reinforcement.html results/collapse.html data/eda.html
    app/cli.html evaluation/off_policy.html""".split()

class Pages(SimpleHTTPRequestHandler):
    "docs/ below the base of its address."
    def translate_path(self, path):
        inside = path.startswith(BASE)
        return super().translate_path('/' + path.removeprefix(BASE)) if inside else str(DOCS/'none')

    def send_error(self, code, *args, **kwargs):
        if code != 404: return super().send_error(code, *args, **kwargs)
        body = read(DOCS/'404.html').encode()
        self.send_response(404)
        self.send_header('Content-Type', 'text/html; charset=utf-8')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def copyfile(self, source, outputfile): # a page that closes while it loads ends the connection
        with suppress(ConnectionError): super().copyfile(source, outputfile)

    def log_message(self, *args): pass

def main():
    "Serve docs/ and let Chromium look at it; the exit status of the check."
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('pages', nargs='*', help='pages of docs/; the main ones unless given')
    parser.add_argument('--lighthouse', action='store_true', help='score the accessibility of the pages')
    args = parser.parse_args()
    program = find_chromium()
    if not program:
        print('SKIPPED: no Chromium here (or in CHROMIUM), no page has been looked at', file=sys.stderr)
        return 0
    npm_package('lighthouse', 'The check of the site')
    pages = args.pages or [p for p in (SCORED if args.lighthouse else MAIN) if (DOCS/p).exists()]
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Pages, directory=str(DOCS)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f'http://127.0.0.1:{server.server_port}{BASE}'
    script, task = ROOT/'tools/site_check.mjs', 'lighthouse' if args.lighthouse else 'browser'
    return subprocess.run(['node', script, base, program, task, *pages]).returncode

if __name__ == '__main__': sys.exit(main())
