"""Finish the pages that smalldocs has rendered: head, header, links to the notebook, search index, demo, 404.

smalldocs renders a page as Quarto would. What a reader of this site needs beyond that is put in here, by
replacements that fail when smalldocs renders something else: a theme of two modes, a header that holds search
and the toggle on a phone as well, a folded table of contents, names that a screen reader announces, and
previews for other sites.
"""
import html
import json
import re
import shutil

from site_settings import BASE, CONFIG, DOCS, HOST, NBS, ROOT, read, write

DEMO = ROOT/CONFIG['lib_path']/'page/demo.html' # a page of its own; `recnn serve` shows it, too
CARD = 'images/hero-card.png' # picture of a link to the site elsewhere, 1200 x 630
COLAB = 'https://colab.research.google.com/github/' + CONFIG['git_url'].removeprefix('https://github.com/')

# Runs before the page paints, so that a dark page does not flash.
THEME = '''<script>(root => { let theme; try { theme = localStorage.getItem("recnn-theme"); } catch (e) {}
theme = theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
root.dataset.bsTheme = theme; root.classList.toggle("quarto-dark", theme === "dark");
})(document.documentElement)</script>'''

SEARCH = '''<form class="site-search" role="search"><i class="bi bi-search" aria-hidden="true"></i>\
<input type="search" placeholder="Search" aria-label="Search the site" autocomplete="off" spellcheck="false" \
role="combobox" aria-expanded="false" aria-controls="search-results" aria-autocomplete="list">\
<div class="search-results" id="search-results" role="listbox" aria-label="Pages found" hidden></div>\
<span class="search-status visually-hidden" role="status"></span></form>'''
TOGGLE = '''<button type="button" class="theme-toggle btn" aria-label="Dark mode" aria-pressed="false" \
title="Light or dark"><i class="bi bi-circle-half" aria-hidden="true"></i></button>'''
MENU = '''<button type="button" class="quarto-btn-toggle btn" aria-controls="quarto-sidebar" \
aria-label="Menu of pages"><i class="bi bi-list" aria-hidden="true"></i></button>'''

NOT_FOUND = '''---
title: Page not found
description: No page has this address. Search for it, or take one of the doors below.
toc: false
---

The search box above holds the words of the address.

<div id="not-found" class="doors">
{doors}
</div>
'''
DOORS = [
    ('learn/path.ipynb', 'index.ipynb', 'Learn', 'The lessons in order, from one rating to an agent.'),
    ('use/quick_start.ipynb', 'tutorials/own_log.ipynb', 'Use', 'From your own log to recommended titles.'),
    ('results/reinforcement.ipynb', 'results/agents.ipynb', 'Judge', 'Does RL earn its place here?'),
]

def not_found(pages):
    "Markdown of the page for an address that does not exist: search and three doors."
    door = '<a class="door" href="{}"><strong>{}</strong><span>{}</span></a>'.format
    found = [(a if a in pages else b, name, words) for a, b, name, words in DOORS]
    links = [door(page.replace('.ipynb', '.html'), *words) for page, *words in found if page in pages]
    return NOT_FOUND.format(doors='\n'.join(links))

# Replacing

def swap(s, old, new, page):
    "`s` with the first `old` replaced; an error when there is none."
    if old not in s: raise ValueError(f'{page}: smalldocs has not rendered {old[:80]!r}')
    return s.replace(old, new, 1)

# The parts of a page

def preview(s, page, site):
    "Canonical address, Open Graph and Twitter tags of a page."
    title = html.unescape(re.search(r'<title>(.*?)</title>', s, re.S)[1]).strip()
    described = re.search(r'<meta name="description" content="([^"]*)"', s)
    words = html.unescape(described[1]) if described else CONFIG['description']
    url = HOST + page.removesuffix('index.html')
    tags = [('og:title', title), ('og:description', words), ('og:type', 'website'), ('og:url', url)]
    tags += [('og:site_name', CONFIG['title'])]
    twitter = [('twitter:card', 'summary'), ('twitter:title', title), ('twitter:description', words)]
    if (site/CARD).exists():
        twitter[0] = ('twitter:card', 'summary_large_image')
        about = 'recnn: reinforcement learning for recommendation'
        tags += [('og:image', HOST + CARD), ('og:image:alt', about)]
        twitter += [('twitter:image', HOST + CARD), ('twitter:image:alt', about)]
    tag = lambda kind, name, value: f'<meta {kind}="{name}" content="{html.escape(value)}">'
    lines = [tag('property', *t) for t in tags] + [tag('name', *t) for t in twitter]
    if not described: lines.append(tag('name', 'description', words))
    if page != '404.html': lines.append(f'<link rel="canonical" href="{url}">')
    return ''.join(lines)

def finish_head(s, page, up, site):
    "The head with theme, preview and the site's script, and without smalldocs' fuzzy search."
    colours = ('light', '#ffffff'), ('dark', '#14171f')
    tag = '<meta name="theme-color" content="{1}" media="(prefers-color-scheme: {0})">'.format
    added = preview(s, page, site) + ''.join(tag(*c) for c in colours) + THEME
    s = swap(s, '</title>', '</title>' + added, page)
    s = swap(s, f'<script src="{up}site_libs/fuse/fuse.min.js"></script>', '', page)
    s = swap(s, 'bootstrap.bundle.min.js">', 'bootstrap.bundle.min.js" defer>', page)
    script = f'<script src="{up}site_libs/smalldocs.js" defer></script>'
    return swap(s, script, script + f'<script src="{up}site.js" defer></script>', page)

def finish_header(s, page):
    "The header without folding: menu of pages, search, theme and links, in two rows on a phone."
    for old in (r'<div class="quarto-navbar-tools">.*?</div></div></div>(?=</div></div></nav>)',
                r'<nav class="quarto-secondary-nav">.*?(?=</header>)',
                r'<button class="navbar-toggler".*?</button>'):
        s, n = re.subn(old, '', s, flags=re.S)
        if n != 1: raise ValueError(f'{page}: smalldocs has rendered another header')
    brand = '<div class="navbar-brand-container'
    links = '<div class="collapse navbar-collapse" id="navbarCollapse">'
    s = swap(s, f'{brand} mx-auto">', f'{MENU}{brand}">', page)
    s = swap(s, links, f'{SEARCH}{TOGGLE}<div class="navbar-links">', page)
    s = swap(s, '<ul class="navbar-nav navbar-nav-scroll me-auto"></ul>', '', page)
    s = s.replace('<ul class="navbar-nav navbar-nav-scroll ms-auto">', '<ul class="navbar-nav">')
    s = s.replace(' role="img"></i>', ' aria-hidden="true"></i>')
    s = re.sub(r'(<nav class="navbar [^>]*)>', r'\1 aria-label="Site">', s, count=1)
    skip = '<a class="skip-link" href="#quarto-document-content">Skip to the text</a>'
    return re.sub(r'(<body[^>]*>)', r'\1' + skip, s, count=1)

def finish_sidebar(s):
    "Sections of the sidebar as buttons that a keyboard reaches, each with one name."
    s = s.replace('<nav id="quarto-sidebar"', '<nav id="quarto-sidebar" aria-label="Pages"')
    fold = r'<a class="(sidebar-item-text[^"]*)"( data-bs-toggle="collapse" data-bs-target="#([^"]+)")'
    state = r' role="navigation"( aria-expanded="\w+")>(.*?)</a><a class="sidebar-item-toggle.*?</a>'
    section = re.compile(fold + state, re.S)
    return section.sub(r'<button type="button" class="\1"\2 aria-controls="\3"\4>\5'
                       r'<i class="bi bi-chevron-right" aria-hidden="true"></i></button>', s)

def finish_toc(s, page):
    "The table of contents with a name, and its fold under the title for screens without a third column."
    if 'id="TOC"' not in s: return s
    s = s.replace('<nav id="TOC" role="doc-toc"', '<nav id="TOC" role="doc-toc" aria-labelledby="toc-title"')
    s = re.sub(r'<h2 id="toc-title">(.*?)</h2>', r'<div id="toc-title">\1</div>', s)
    if page == 'index.html': # the front page begins with its picture
        return re.sub(r'<nav class="quarto-page-breadcrumbs.*?</nav>', '', s, flags=re.S)
    fold = '<details class="toc-fold"><summary>On this page</summary></details>'
    return re.sub(r'(<header id="title-block-header".*?</header>)', r'\1' + fold, s, count=1, flags=re.S)

def finish_title(s, page, notebook):
    "Links to the page's notebook: one to run it, one to its source."
    if not notebook: return s
    path = f"blob/{CONFIG['branch']}/{NBS.name}/{notebook}"
    link = '<a href="{}"><i class="bi bi-{}" aria-hidden="true"></i> {}</a>'.format
    links = link(f'{COLAB}/{path}', 'play-circle', 'Open in Colab')
    links += link(f"{CONFIG['git_url']}/{path}", 'github', 'Notebook on GitHub')
    empty = '<div class="quarto-title-meta"></div>'
    return swap(s, empty, f'<div class="quarto-title-meta page-links">{links}</div>', page)

def absolute(s):
    "Links of a page that any address may show, from the root of the host."
    s = re.sub(r'((?:href|src)=")(?![a-z]+:|//|#|/)', rf'\1{BASE}', s)
    return s.replace('name="smalldocs:offset" content="./"', f'name="smalldocs:offset" content="{BASE}"')

# The site

def icons(site, pages):
    "Keep of the icons' style sheet what the pages use: 2 kB instead of 86."
    home = site/'site_libs/bootstrap-icons'
    css = read(home/'bootstrap-icons.min.css')
    used = set(re.findall(r'\bbi-[\w-]+', ''.join(pages)))
    rules = re.compile(r'\.(bi-[\w-]+)::before\{[^}]*\}').sub(lambda m: m[0] if m[1] in used else '', css)
    write(home/'bootstrap-icons.min.css', re.sub(r',url\([^)]*\.woff\?[^)]*\) format\("woff"\)', '', rules))
    for font in home.rglob('*.woff'): font.unlink()

UNSEARCHED = re.compile(r'''<!--.*?--> | <h1.*?</h1> | <nav\b.*?</nav> | <span\ class="math.*?</span>
    | <details\ class="toc-fold">.*?</details> | <div\ class="quarto-title-meta.*?</div>
    | <(pre|style|script|svg|button)\b.*?</\1> | <table[^>]*\bdataframe\b.*?</table>''', re.S | re.X)
INLINE = re.compile(r'</?(?:code|em|strong|a|b|i)\b[^>]*>')

def plain(s): return ' '.join(html.unescape(re.sub(r'<[^>]+>', ' ', INLINE.sub('', s))).split())

def sections(s, href):
    "Sections [address, page, section, text] of a page for its search; code and data frames are left out."
    title = plain(re.search(r'<title>(.*?)(?: – [^<]*)?</title>', s, re.S)[1])
    main = UNSEARCHED.sub(' ', re.search(r'<main.*</main>', s, re.S)[0])
    parts = re.split(r'<h[2-4][^>]* data-anchor-id="([^"]+)">(.*?)</h[2-4]>', main, flags=re.S)
    found = [[href, title, '', plain(parts[0])]]
    return found + [[f'{href}#{a}', title, plain(h), plain(t)] for a, h, t in zip(*[iter(parts[1:])]*3)]

def copy_demo(site):
    "Copy the demo: its page beside the index, its scripts into demo/, with what `tools/demo.py` has made."
    if not DEMO.exists(): return
    shutil.copytree(DEMO.parent, site/'demo')
    for name in ('data', 'ort'): shutil.copytree(DOCS/'demo'/name, site/'demo'/name)
    shutil.copy(DOCS/'demo/preview.png', site/'demo')
    (site/'demo'/DEMO.name).unlink()
    s = re.sub(r'<nav class="server-only".*?</nav>', '', read(DEMO), flags=re.S) # links of `recnn serve`
    write(site/DEMO.name, swap(s, '</head>', preview(s, DEMO.name, site) + '</head>', DEMO.name))

def search_index(pages):
    "JavaScript of the search index of pages {address: HTML}."
    entries = [e for href, s in pages.items() for e in sections(s, href)]
    lines = ',\n'.join(json.dumps(e, ensure_ascii=False) for e in entries)
    return f'window.searchIndex = [\n{lines}\n]\n'

def finish(site, notebooks):
    "Finish all pages of a rendered site; `notebooks` {address: path of its notebook in nbs/}."
    if (NBS/'images').exists(): shutil.copytree(NBS/'images', site/'images', dirs_exist_ok=True)
    shutil.copy(NBS/'site.js', site/'site.js')
    pages = {p.relative_to(site).as_posix(): read(p) for p in sorted(site.rglob('*.html'))}
    pages.pop(DEMO.name, None)
    for href, s in pages.items():
        s = finish_head(s, href, '../'*href.count('/'), site)
        s = finish_toc(finish_sidebar(finish_header(s, href)), href)
        s = finish_title(s, href, notebooks.get(href))
        pages[href] = absolute(s) if href == '404.html' else s
        write(site/href, pages[href])
    demo = {DEMO.name: read(DEMO)} if DEMO.exists() else {}
    write(site/'search.js', search_index(demo | {p: s for p, s in pages.items() if p != '404.html'}))
    (site/'search.json').unlink()
    shutil.rmtree(site/'site_libs/fuse', ignore_errors=True)
    icons(site, [*pages.values(), read(site/'site_libs/smalldocs.css')])
