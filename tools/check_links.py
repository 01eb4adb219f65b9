"""Check the links of a site, that it loads nothing from another site, and that images have alt texts.

    python tools/check_links.py docs
"""
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from site_settings import BASE

EXTERNAL = re.compile(r'[a-zA-Z][a-zA-Z0-9+.-]*:|//')
CSS_URL = re.compile(r'url\(([^)]+)\)|@import\s+["\']([^"\']+)')
MODULE_URL = re.compile(r'\bimport\b[^;]*?["\'](https?://[^"\']+)')


class Page(HTMLParser):
    "Anchors, links, what a page loads, and its images without an alt text."
    def __init__(self, s):
        super().__init__()
        self.ids, self.links, self.loads, self.bare, self.inside = set(), [], [], [], ''
        self.feed(s)

    def handle_starttag(self, tag, attrs):
        a, self.inside = dict(attrs), tag
        self.ids |= {a[k] for k in ('id', 'name') if a.get(k)}
        if tag == 'a' and a.get('href'): self.links.append(a['href'])
        if tag == 'img' and not a.get('alt'): self.bare.append((a.get('src') or '')[:60])
        loaded = tag == 'link' and a.get('rel') not in ('canonical', 'alternate')
        if loaded and a.get('href'): self.loads.append(a['href'])
        self.loads += [a[k] for k in ('src', 'poster', 'data') if a.get(k)]
        self.loads += [u.split()[0] for u in (a.get('srcset') or '').split(',') if u.strip()]
        self.loads += urls(a.get('style') or '')

    def handle_data(self, data):
        if self.inside == 'style': self.loads += urls(data)
        if self.inside == 'script': self.loads += MODULE_URL.findall(data)

    def handle_endtag(self, tag): self.inside = ''


def urls(css): return [u.strip('"\' ') for pair in CSS_URL.findall(css) for u in pair if u]


def check(docs):
    "Print what is wrong with the pages in `docs`; True when nothing is."
    docs = docs.resolve()
    pages = {p: Page(p.read_text(encoding='utf-8')) for p in sorted(docs.rglob('*.html'))}
    todo = [(p, u, False) for p, page in pages.items() for u in page.links]
    todo += [(p, u, True) for p, page in pages.items() for u in page.loads]
    todo += [(p, u, True) for p in sorted(docs.rglob('*.css')) for u in urls(p.read_text(encoding='utf-8'))]
    bad = {}
    for p, u, load in todo:
        where = f'{p.relative_to(docs).as_posix()}: {u}'
        if u.startswith('data:') or u.startswith('#') and p.suffix == '.css': continue
        if EXTERNAL.match(u):
            if load: bad[where + ' (loaded from another site)'] = None
            continue
        path, _, fragment = u.partition('#')
        path = unquote(path.partition('?')[0])
        inside = path.startswith(BASE) # a link from the root of the host
        target = (docs/path.removeprefix(BASE) if inside else p.parent/path).resolve() if path else p
        if target.is_dir(): target /= 'index.html'
        lost = fragment and target in pages and unquote(fragment) not in pages[target].ids
        if not target.is_file() or lost: bad[where] = None
    for p, page in pages.items():
        where = p.relative_to(docs).as_posix()
        for src in page.bare: bad[f'{where}: {src} (image without an alt text)'] = None
    print('\n'.join(bad) or f'{len(pages)} pages, {len(todo)} links: all resolve')
    return bool(pages) and not bad


if __name__ == '__main__': sys.exit(not check(Path(sys.argv[1])))
