"""Build the documentation and README.md from the notebooks.

    python tools/docs.py            README.md and docs/, then the link check
    python tools/docs.py --readme   README.md only
    python tools/docs.py --check    the link check only

nbdev processes the notebooks into _proc/, smalldocs renders them, and KaTeX sets the formulas while the site
is built, so that its pages need no script for mathematics and load nothing from elsewhere. A page keeps the
folder of its notebook and drops the number: nbs/agents/25_td3.ipynb becomes agents/td3.html.
"""
import argparse
import ast
import base64
import html
import json
import os
import posixpath
import re
import runpy
import shutil
import struct
import sys
from pathlib import Path

from check_links import EXTERNAL, check
from site_math import mathematics
from site_pages import DEMO, copy_demo, finish, not_found
from site_settings import CONFIG, DOCS, HOST, NBS, PROC, ROOT, read, read_json, text, write

LINK = re.compile(r'(\]\(|\bhref=")([^)\s"]+)')
TABLE_END = re.compile(r'^(\|.*\|[ \t]*\n)(?=[^|\s])', re.M)

def apart(md): return TABLE_END.sub(r'\1\n', md) # a line below a table is a paragraph, not a row

# README

def fenced(s, lang=''):
    "`s` in a fence that it cannot close."
    ticks = '`'*max(3, 1 + max(map(len, re.findall('`+', s)), default=0))
    return f'{ticks}{lang}\n{s.rstrip()}\n{ticks}'

def output_md(out):
    "One stored output as Markdown; pictures and widgets are left out."
    if out['output_type'] == 'stream':
        return fenced(text(out['text']), 'text') if out['name'] == 'stdout' else ''
    data = out.get('data', {})
    if 'text/markdown' in data: return text(data['text/markdown'])
    plain = text(data.get('text/plain', ''))
    picture = any(k.startswith('image/') for k in data)
    return '' if not plain or plain.startswith('<') or picture else fenced(plain, 'text')

def repo_link(m):
    "A link of the notebook as a link from the repository's root."
    if EXTERNAL.match(m[2]) or m[2].startswith('#'): return m[0]
    return m[1] + posixpath.normpath(posixpath.join(NBS.name, m[2]))

def readme():
    "Write README.md from the notebook named by `readme_nb`."
    nb = NBS/CONFIG['readme_nb']
    parts = [f'<!-- generated from {NBS.name}/{nb.name} by tools/docs.py; do not edit -->']
    for cell in read_json(nb)['cells']:
        src = text(cell['source']).strip()
        if cell['cell_type'] == 'markdown': parts.append(apart(LINK.sub(repo_link, src)))
        if cell['cell_type'] != 'code': continue
        flags = re.findall(r'^#\|\s*(.+?)\s*$', src, re.M)
        hidden = {'hide', 'export', 'exporti', 'include: false'} & set(flags)
        if hidden or any(f.startswith('default_exp') for f in flags): continue
        code = re.sub(r'^#\|.*\n?', '', src, flags=re.M).strip()
        if code and 'echo: false' not in flags: parts.append(fenced(code, 'python'))
        if 'output: false' not in flags: parts += map(output_md, cell['outputs'])
    write(ROOT/'README.md', '\n\n'.join(filter(None, parts)) + '\n')

# Pages

def process():
    "Let nbdev process the notebooks and name each after its page: agents/20_nets becomes agents/nets."
    from nbdev.serve import proc_nbs
    os.chdir(ROOT)
    shutil.rmtree(PROC, ignore_errors=True)
    try: proc_nbs(force=True, n_workers=2)
    except Exception as e:
        sys.exit('\n'.join([str(e), *re.findall(r'^\w*Error: .*', str(e.__cause__), re.M)[:1]]))
    names, nbs = {}, {}
    for path in sorted(PROC.rglob('*.ipynb')):
        nb, old = read_json(path), path.relative_to(PROC).as_posix()
        front = text(nb['cells'][0]['source'])
        new = re.search(r'^output-file: (.+)\.html$', front, re.M)
        names[old] = posixpath.join(posixpath.dirname(old), (new[1] if new else path.stem) + '.ipynb')
        nb['cells'][0]['source'] = re.sub(r'^output-file: .+\n', '', front, flags=re.M)
        nbs[names[old]] = nb
        path.unlink()
    return names, nbs

def shown(nb):
    "The outputs of `show_doc` in a notebook."
    for cell in nb['cells']:
        if cell['cell_type'] == 'code' and 'show_doc(' in text(cell['source']):
            yield from (o['data'] for o in cell['outputs'] if 'text/markdown' in o.get('data', {}))

def symbols(nbs):
    "Name -> {page: its anchor} of every symbol and module; a method that is not shown leads to its class."
    links, index = {}, runpy.run_path(str(ROOT/CONFIG['lib_path']/'_modidx.py'))['d']
    for mod, syms in index['syms'].items():
        for sym, (href, _) in syms.items():
            page = href.partition('.html')[0] + '.ipynb'
            if page not in nbs: continue
            links[mod] = {page: page}
            docs = [text(d['text/markdown']) for d in shown(nbs[page])]
            names = {m[1] for md in docs for m in re.finditer(r'^### (\S+)', md, re.M)}
            name = sym.removeprefix(mod + '.')
            anchor = next((n for n in (name, name.rpartition('.')[0]) if n in names), None)
            if not anchor: continue
            for key in (sym, name): links.setdefault(key, {})[page] = f'{page}#{anchor.lower()}'
    return links

def relink(md, page, old, names, links):
    "Link names in backticks, and lead links between notebooks to the renamed ones."
    here = posixpath.dirname(page) or '.'
    def symbol(m): # a link stays as it is; a name of several modules means the page's own, or else the first
        found = links.get(m[1], {})
        target = found.get(page) or next(iter(found.values()), None)
        return f'[{m[0]}]({posixpath.relpath(target, here)})' if target else m[0]
    def link(m):
        path, hash_, tail = m[2].partition('#')
        new = names.get(posixpath.normpath(posixpath.join(posixpath.dirname(old), path)))
        return m[1] + (posixpath.relpath(new, here) + hash_ + tail if new else m[2])
    word = re.compile(r'\[[^\]]*\]\([^)]*\)|(?<!`)`([\w.]+)(?:\(\))?`(?!`)')
    md = re.sub(rf'\[(`[^`]+`)\]\({re.escape(HOST)}[^)]*\)', r'\1', md) # nbdev's links to the published site
    lines, fence = apart(md).split('\n'), False
    for i, line in enumerate(lines):
        if line.lstrip().startswith('```'): fence = not fence
        elif not fence and not line.startswith(('#', '    ')):
            lines[i] = word.sub(symbol, LINK.sub(link, line))
    return '\n'.join(lines)

# Pictures

def plot_words(code):
    "Titles that the code of a plot gives, or else labels of its axes, as far as they are constants."
    try: tree = ast.parse(code)
    except SyntaxError: return []
    found = dict(title=[], label=[])
    for node in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
        called = getattr(node.func, 'attr', '')
        for kind, values in found.items():
            named = [k.value for k in node.keywords if k.arg in (f'x{kind}', f'y{kind}', f'sup{kind}')]
            if kind == 'title': named += [k.value for k in node.keywords if k.arg == 'title']
            if called.startswith(('set_', 'sup', 'x', 'y')) and called.endswith(kind): named += node.args[:1]
            values += [v.value for v in named if isinstance(v, ast.Constant) and isinstance(v.value, str)]
    return [re.sub(r'\s+', ' ', t).strip() for t in dict.fromkeys(found['title'] or found['label'])]

def take_pictures(nb, page):
    """Move stored pictures to files beside the page, {address: bytes}, each with an alt text and its size.

    A page shows its text before its pictures, which load when scrolled to. The alt text is `fig-alt`, or
    the heading above the picture and the titles of the plot.
    """
    heading, taken = 'Plot', {}
    for cell in nb['cells']:
        src = text(cell['source'])
        if cell['cell_type'] == 'markdown':
            prose = re.sub(r'^```.*?^```', '', src, flags=re.M | re.S)
            titles = re.findall(r'^#{1,4} (.+?)\s*(?:\{.*\})?$', prose, re.M)
            if titles: heading = re.sub(r'[`*$\\]|\]\([^)]*\)|\[', '', titles[-1])
        if cell['cell_type'] != 'code': continue
        given = re.search(r'^#\|\s*fig-alt:\s*(.+)$', src, re.M)
        words = ', '.join(plot_words(re.sub(r'^[%!].*$', '', src, flags=re.M))[:4])
        alt = given[1].strip('"\' ') if given else f'Plot: {heading}' + (f' ({words})' if words else '')
        for out in cell.get('outputs', []):
            png = out.get('data', {}).get('image/png')
            if not png: continue
            data = base64.b64decode(text(png))
            name = f'{Path(page).stem}-{len(taken) + 1}.png'
            taken[posixpath.join(posixpath.dirname(page), 'figures', name)] = data
            width, height = struct.unpack('>2I', data[16:24])
            size = f'width="{width}" height="{height}" loading="lazy"'
            tag = f'<img src="figures/{name}" class="img-fluid" alt="{html.escape(alt)}" {size}>'
            out['data'] = {'text/html': tag}
    return taken

def fold_code(nb):
    "Fold the code of a page of results: its reader comes for the tables and plots."
    for cell in nb['cells']:
        if cell['cell_type'] == 'code': cell['source'] = '#| code-fold: true\n' + text(cell['source'])

# Navigation

def there(href, names): return '://' in href or href in names.values() or (PROC/href).exists()

def sidebar(contents, names):
    "The sidebar with its pages renamed, without the pages and sections that do not exist."
    out = []
    for c in [contents] if isinstance(contents, str) else contents:
        if isinstance(c, dict) and 'href' in c: out += [c]*there(c['href'], names)
        elif isinstance(c, dict):
            if kids := sidebar(c['contents'], names): out.append({**c, 'contents': kids})
        else: out += [names[n] for n in sorted(names) if n == c or '*' in c and Path(n).match(c)]
    return out

def configure(names):
    "Write the configuration that smalldocs reads: Quarto's with the sidebar, without missing pages."
    import yaml
    config, bar = (yaml.safe_load(read(NBS/name)) for name in ('_quarto.yml', 'sidebar.yml'))
    bar, top = bar['website']['sidebar'], config['website']['navbar']
    bar['contents'] = sidebar(bar['contents'], names)
    top['right'] = [c for c in top['right'] if there(c['href'], names)]
    for page in sorted(names.values()):
        if page not in json.dumps(bar): print(f'{page}: not in {NBS.name}/sidebar.yml')
    config['website']['sidebar'] = bar
    del config['metadata-files']
    config['project']['output-dir'] = 'site'
    write(PROC/'_quarto.yml', yaml.safe_dump(config, sort_keys=False))

def build():
    "Write docs/; what was there stays until the new site is complete."
    names, nbs = process()
    links, pictures = symbols(nbs), {}
    for old, page in names.items():
        for data in shown(nbs[page]):
            md = text(data['text/markdown'])
            md = re.sub(r'^### \S+', lambda m: m[0].replace('_', r'\_'), md, flags=re.M)
            md = re.sub(r'^\*(.+)\*$', lambda m: '*' + m[1].replace('*', r'\*') + '*', md, flags=re.M)
            data['text/markdown'] = md
        for cell in nbs[page]['cells']:
            if cell['cell_type'] == 'markdown':
                cell['source'] = relink(text(cell['source']), page, old, names, links)
            for data in (o.get('data', {}) for o in cell.get('outputs', [])):
                if 'text/markdown' not in data: continue
                data['text/markdown'] = relink(text(data['text/markdown']), page, old, names, links)
        pictures |= take_pictures(nbs[page], page)
        if page.startswith('results/'): fold_code(nbs[page])
        write(PROC/page, json.dumps(nbs[page]))
    write(PROC/'404.md', not_found(names.values()))
    if DEMO.exists(): shutil.copy(DEMO, PROC/'demo.html') # links need their target
    configure(names)
    from smalldocs import site as smalldocs
    for warning in smalldocs.build(PROC, quiet=True).warnings: print(warning)
    site = PROC/'site'
    for href, data in pictures.items():
        (site/href).parent.mkdir(exist_ok=True)
        (site/href).write_bytes(data)
    finish(site, {page.replace('.ipynb', '.html'): old for old, page in names.items()})
    mathematics(site)
    copy_demo(site)
    sitemap = site/'sitemap.xml'
    write(sitemap, re.sub(r'\s*<lastmod>.*?</lastmod>', '', read(sitemap)))
    for css in site.rglob('*.css'): # fonts of other hosts
        write(css, re.sub(r'@import url\(["\']?(https?:)?//.*?\);', '', read(css)))
    write(site/'.nojekyll', '')
    old = PROC/'old'
    if DOCS.exists(): DOCS.rename(old)
    site.rename(DOCS)
    shutil.rmtree(old, ignore_errors=True)

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--readme', action='store_true', help='write README.md only')
    parser.add_argument('--check', action='store_true', help='check the links of docs/ only')
    args = parser.parse_args()
    if not args.check: readme()
    if not args.check and not args.readme: build()
    if not args.readme: sys.exit(not check(DOCS))
