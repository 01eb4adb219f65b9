"""Set the formulas of the site with KaTeX while it is built."""
import html
import json
import posixpath
import re
import shutil
import subprocess
import sys

from npm import npm_package

FORMULA = re.compile(r'(<span class="math (?:inline|display)">)\\([(\[])(.*?)\\[)\]]</span>', re.S)
RENDER = '''const katex = require(process.argv[1]);
const one = ([tex, displayMode]) => {
  try { return {html: katex.renderToString(tex, {displayMode, strict: "ignore"})} }
  catch (e) { return {error: e.message} } };
process.stdout.write(JSON.stringify(JSON.parse(require("fs").readFileSync(0)).map(one)))'''

def write(path, s): path.write_text(s, encoding='utf-8', newline='\n')

def set_formulas(found, script):
    "HTML of formulas [(page, TeX, display)] as KaTeX sets them; ends the build with all that it cannot set."
    todo = json.dumps([f[1:] for f in found])
    words = ['node', '-e', RENDER, script]
    r = subprocess.run(words, input=todo, capture_output=True, text=True, check=True, encoding='utf-8')
    done = json.loads(r.stdout)
    bad = [f'{p.name}: ${tex}$: {d["error"]}' for (p, tex, _), d in zip(found, done) if 'error' in d]
    if bad: sys.exit('\n'.join(bad))
    return [d['html'] for d in done]

def mathematics(site):
    "Replace the formulas of all pages by HTML and MathML, and what loads KaTeX by a local style sheet."
    dist = npm_package('katex', 'KaTeX, which sets the mathematics,')/'dist'
    pages = {p: p.read_text(encoding='utf-8') for p in sorted(site.rglob('*.html'))}
    found = [(p, html.unescape(m[3]), m[2] == '[') for p, s in pages.items() for m in FORMULA.finditer(s)]
    done = iter(set_formulas(found, dist/'katex.min.js'))
    for p, s in pages.items():
        s = FORMULA.sub(lambda m: m[1] + next(done) + '</span>', s)
        headings = dict(re.findall(r'<h\d[^>]* data-anchor-id="([^"]+)">(.*?)</h\d>', s, re.S))
        def entry(m): # a formula in a heading is one in the table of contents, too
            return f'{m[1]}{headings[m[2]] if "katex" in headings.get(m[2], "") else m[3]}</a>'
        s = re.sub(r'(<a href="#([^"]+)" id="toc-[^>]*>)(.*?)</a>', entry, s)
        s = re.sub(r'<script src="https://[^"]*katex[^"]*"[^>]*></script>', '', s)
        style = posixpath.relpath('site_libs/katex/katex.min.css', p.parent.relative_to(site).as_posix())
        write(p, re.sub(r'https://[^"]*/katex\.min\.css', style, s))
    css = (dist/'katex.min.css').read_text(encoding='utf-8')
    home, others = site/'site_libs/katex', shutil.ignore_patterns('*.woff', '*.ttf')
    shutil.copytree(dist/'fonts', home/'fonts', ignore=others)
    shutil.copy(dist.parent/'LICENSE', home/'LICENSE')
    write(home/'katex.min.css', re.sub(r',url\([^)]*\.(woff|ttf)\) format\("\w+"\)', '', css))
