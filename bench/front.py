"""Parts of the front page that are made from results: HTML for the site, Markdown for README, pictures.

The notebook of the front page loads this file by itself: it imports neither recnn nor others of this folder.
"""
import colorsys
import hashlib
import html
import io
import json
import re
from collections import Counter

COLUMNS = 15  # squares in a row of a panel
FIRST = ["#3b4cca", "#f2a33a", "#1fa187", "#d1495b", "#8e5bd0", "#2b9fd9"]  # films that collapsed agents show
PANELS = {"watched": "What people watched", "DDPG": "DDPG", "TD3": "TD3", "default": "the default agent"}
PAPER, INK, SOFT = "#ffffff", "#1f2430", "#5b6475"


class Both:
    "HTML for the site, and Markdown for README, whose links begin at the root of the repository."
    def __init__(self, site, readme): self.site, self.readme = site, readme

    def _repr_html_(self): return self.site

    def _repr_markdown_(self): return self.readme


def panels(run):
    "A list of (title, films, caption), a panel each: films in the order of the people."
    first = {r["method"]: r["first"] for r in run["rows"] if r["seed"] == 0} | dict(watched=run["watched"])
    return [(title[0].upper() + title[1:], first[key], caption(first[key])) for key, title in PANELS.items()]


def caption(films):
    "The film that most people get and their number where it is more than a tenth, else the number of films."
    (film, count), = Counter(films).most_common(1)
    return f"{film} for {count}" if count > len(films) / 10 else f"{len(set(films))} different films"


def colours(found):
    "A colour for each film of some panels: the films that one method shows most come first."
    most = Counter()
    for _, films, _ in found:
        for film, n in Counter(films).items(): most[film] = max(most[film], n)
    order = sorted(most, key=lambda film: (-most[film], film))
    rest = order[len(FIRST):]
    return dict(zip(order, FIRST)) | {film: confetti(i) for i, film in enumerate(sorted(rest))}


def confetti(i):
    "Colour i of many, neighbours far apart in hue."
    hue = (.69 + .9 * (i * .618034 % 1)) % 1  # without the blue of the first film
    red, green, blue = colorsys.hls_to_rgb(hue, (.5, .62, .74)[i % 3], (.5, .62, .56)[i % 3])
    return "#" + "".join(f"{round(255 * x):02x}" for x in (red, green, blue))


def squares(films):
    "Column and row of each film."
    return [(i % COLUMNS, i // COLUMNS, film) for i, film in enumerate(films)]


def digest(run):
    "What the pictures show, as a hash: a PNG of other figures is out of date."
    return hashlib.sha256(json.dumps(panels(run)).encode()).hexdigest()[:16]


def figures(run):
    "The panels as figures of SVG; a square says its film when it is pointed at."
    found, out = panels(run), []
    colour = colours(found)
    for title, films, words in found:
        n_rows = -(-len(films) // COLUMNS)
        rects = "".join(f'<rect x="{x}" y="{y}" width=".9" height=".9" rx=".14" fill="{colour[film]}">'
                        f"<title>{html.escape(film)}</title></rect>" for x, y, film in squares(films))
        title, words, box = html.escape(title), html.escape(words), f"0 0 {COLUMNS - .1:g} {n_rows - .1:g}"
        svg = f'<svg viewBox="{box}" role="img" aria-label="{title}: {words}">{rects}</svg>'
        out.append(f"<figure><strong>{title}</strong>{svg}<figcaption>{words}</figcaption></figure>")
    return f'<div class="rn-hero">{"".join(out)}</div>'


def alternative(run):
    "The picture in words."
    words = "; ".join(f"{title}: {words}" for title, _, words in panels(run))
    return f"Four panels of squares, a square a person, coloured by film. {words}."


def facts(settings):
    "A link to the demo, and version, Python and licence from settings.ini."
    version, python, licence = (settings[key] for key in ("version", "min_python", "license"))
    words = f"Version {version} · Python {python} or newer · {licence.upper()} licence"
    host, text = settings["doc_host"] + settings["doc_baseurl"], "Try it in your browser"
    return Both(f'<p class="rn-facts"><a href="demo.html">{text}</a> <span>{words}</span></p>',
                f"**[{text}]({host}/demo.html)** · {words}")


def demo(settings, made):
    "The demo's picture with a link to it, and what it shows, from the manifest of its models."
    host = settings["doc_host"] + settings["doc_baseurl"]
    distinct = {n: made["models"][f"ddpg {n}"]["distinct"] for n in made["updates"]}
    worst = min(distinct, key=distinct.get)
    people, alone = made["people"]["users"], distinct[worst] == 1
    same = f"gives all {people} the same first film" if alone else f"has {distinct[worst]} first films"
    says = (f"Rate a few films and move a slider through DDPG's training. To {people} held-out people it "
            f"gives {distinct[min(distinct)]} different first films before training; after {worst} updates "
            f"it {same}. The default agent gives {made['models']['default']['distinct']}.")
    picture = 'alt="The demo: three lists side by side, and a map of the catalogue" width="840"'
    page = f'<a href="demo.html"><img src="demo/preview.png" {picture} class="img-fluid"></a>'
    link = f'<a href="{host}/demo.html"><img src="docs/demo/preview.png" {picture}></a>'
    return Both(f"<p>{says}</p><p>{page}</p>", f"{says}\n\n{link}")


def hero(run):
    "The picture: figures on the site, a PNG for README."
    alt = html.escape(alternative(run))
    narrow = '<source media="(max-width: 640px)" srcset="nbs/images/hero-narrow.png">'
    return Both(figures(run), f'<picture>{narrow}<img src="nbs/images/hero.png" alt="{alt}"></picture>')


def row_of(run, method, seed=0):
    "The row of a method."
    return next(r for r in run["rows"] if (r["method"], r["seed"]) == (method, seed))


def everybody(row):
    "How a method treats the people, in words."
    if row["count"] <= row["users"] / 10: return f"names {row['distinct']} different films"
    others = row["users"] - row["count"]
    seen = f", and the other {others} have seen it" if row["others_seen"] == others else ""
    return f"gives **{row['top']}** to {row['count']} of them{seen}"


def spread(run, method):
    "The numbers of films that the seeds of a method name, in words."
    found = [r["distinct"] for r in run["rows"] if r["method"] == method]
    return f"{min(found)} to {max(found)}" if len(set(found)) > 1 else str(found[0])


def story(run):
    "What the picture shows, in words."
    ddpg, td3, default = (row_of(run, method) for method in ("DDPG", "TD3", "default"))
    same = "does the same" if everybody(td3) == everybody(ddpg) else everybody(td3)
    runs, watched = len({r["seed"] for r in run["rows"]}), len(set(run["watched"]))
    named = ", ".join(f"{m} {spread(run, key)}" for key, m in PANELS.items() if key != "watched")
    return (f"Each square is one of {ddpg['users']} people whom no method has learnt from; its colour is the "
            f"film that the method puts first for that person. DDPG, the textbook algorithm, "
            f"{everybody(ddpg)}. TD3, its successor, {same}. recnn's default agent {everybody(default)}; "
            f"people watched {watched}. Different films in {runs} training runs: {named}.")


def lists(run, methods):
    "What somebody rated beside the lists of some methods; `methods`: heading -> method."
    found = {name: row_of(run, m)["list"] for name, m in methods.items()}
    rated = "".join(f"<li>{html.escape(film)} {stars(n)}</li>" for film, n in run["picks"].items())
    site = f"<section><strong>Somebody rates</strong><ul>{rated}</ul></section>"
    for name, titles in found.items():
        items = "".join(f"<li>{html.escape(title)}</li>" for title in titles)
        site += f"<section><strong>{html.escape(name)}</strong><ol>{items}</ol></section>"
    head = "| |" + "|".join(found) + "|\n|---|" + "---|" * len(found)
    ranks = enumerate(zip(*found.values()), 1)
    rows = [f"|{i}|" + "|".join(map(escaped, titles)) + "|" for i, titles in ranks]
    told = ", ".join(f"{escaped(film)} {n:g}" for film, n in run["picks"].items())
    readme = "\n".join([f"Somebody rates {told}:", "", head, *rows])
    return Both(f'<div class="rn-lists">{site}</div>', readme)


def stars(n):
    "A rating as stars."
    shown = "★" * int(n) + "½" * (n % 1 > 0)
    return f'<span class="rn-stars" role="img" aria-label="{n:g} stars">{shown}</span>'


def escaped(text):
    "Text that Markdown shows as it is."
    return re.sub(r"([\\`*_\[\]<>|~$])", r"\\\1", text)


def bar_row(name, kind, mean, error, top):
    "A row of a chart: a method, its bar with the standard error as a line, and its figure."
    left, right = (max(0, 100 * (mean + e) / top) for e in (-error, error))
    bar = f'<span class="rn-bar" style="width:{100 * mean / top:.1f}%"></span>'
    line = f'<span class="rn-error" style="left:{left:.1f}%;width:{right - left:.1f}%"></span>'
    head = f'<tr class="{kind}"><th scope="row">{html.escape(name)}</th>'
    return f"{head}<td><div>{bar}{line}</div></td><td>{mean:.3f}</td></tr>"


def bars(logs, ours, strong):
    """Bars of NDCG@10, a chart a log: `logs` title -> [(method, mean, standard error)], best first.

    Methods of `ours` are agents, others baselines; `strong` is the default agent.
    """
    top = max(mean + error for rows in logs.values() for _, mean, error in rows)
    kind = {name: "agent" if name in ours else "baseline" for rows in logs.values() for name, _, _ in rows}
    kind |= {strong: "strong"}
    site, readme = "", []
    for title, rows in logs.items():
        lines = "".join(bar_row(name, kind[name], mean, error, top) for name, mean, error in rows)
        site += f"<table><caption>{html.escape(title)}</caption><tbody>{lines}</tbody></table>"
        width = max(len(name) for name, _, _ in rows) + 1
        readme.append(title)
        for name, mean, _ in rows:
            sign = {"baseline": "░", "agent": "▓", "strong": "█"}[kind[name]]
            readme.append(f"{name:<{width}} {mean:.3f} {sign * round(30 * mean / top)}")
        readme.append("")
    return Both(f'<div class="rn-bars">{site}</div>', "```text\n" + "\n".join(readme).rstrip() + "\n```")


def minutes(path):
    "Minutes that a notebook takes to read: 200 words a minute, of prose and of the code that is shown."
    cells, words = json.loads(path.read_text(encoding="utf-8"))["cells"], 0
    for cell in cells:
        text = "".join(cell["source"])
        if re.search(r"^#\|\s*(hide|include: false)", text, re.M): continue
        words += len(re.findall(r"[^\W\d_]{2,}", re.sub(r"\]\([^)]*\)|<[^>]+>", " ", text)))
    return max(1, round(words / 200))


def doors(folder, found):
    "Links with reading times: `found` door -> (its line, {notebook: title}); notebooks below `folder`."
    site, readme = "", []
    for door, (about, pages) in found.items():
        links = ""
        readme += [f"**{door}**: {about}", ""]
        for page, title in pages.items():
            time = minutes(folder / page)
            target = re.sub(r"(^|/)\d+[a-z]?_", r"\1", page).removesuffix(".ipynb") + ".html"
            links += f'<li><a href="{target}">{html.escape(title)}</a> <span>{time} min</span></li>'
            readme.append(f"- [{title}](nbs/{page}), {time} min")
        site += f"<section><strong>{door}</strong><p>{html.escape(about)}</p><ul>{links}</ul></section>"
        readme.append("")
    return Both(f'<div class="rn-doors">{site}</div>', "\n".join(readme).strip())


def draw_panel(fig, panel, colour, corner, width, size):
    "Draw one panel with its title and caption: its upper left corner and its width in inches."
    from matplotlib.patches import FancyBboxPatch
    title, films, words = panel
    n_rows = -(-len(films) // COLUMNS)
    unit, (left, top), (w, h) = width / (COLUMNS - .12), corner, fig.get_size_inches()
    height, head = (n_rows - .12) * unit, size / 72 * 1.5
    ax = fig.add_axes((left / w, (top - head - height) / h, width / w, height / h))
    ax.set(xlim=(0, COLUMNS - .12), ylim=(n_rows - .12, 0))
    ax.axis("off")
    for x, y, film in squares(films):
        style = "round,pad=0,rounding_size=.14"
        ax.add_patch(FancyBboxPatch((x, y), .88, .88, boxstyle=style, color=colour[film], lw=0))
    word = dict(transform=fig.transFigure, va="top")
    fig.text(left / w, top / h, title, fontsize=size, color=INK, fontweight="bold", **word)
    below = top - head - height - size / 72 * .4
    fig.text(left / w, below / h, words, fontsize=size * .95, color=SOFT, **word)


def draw(run, path, inches, size, width, corners, about=()):
    "Write the panels as a PNG: its size in inches, letters in points, width and corners of panels, words."
    from matplotlib.figure import Figure
    found, fig = panels(run), Figure(figsize=inches, dpi=200, facecolor=PAPER)
    for corner, panel in zip(corners, found): draw_panel(fig, panel, colours(found), corner, width, size)
    for x, y, text, style in about: fig.text(x / inches[0], y / inches[1], text, va="top", **style)
    save(fig, path, digest(run))


def digests(folder):
    "What the pictures of a folder were drawn from."
    from PIL import Image
    return {path.name: Image.open(path).text["Description"] for path in sorted(folder.glob("hero*.png"))}


def save(fig, path, description):
    "Write a figure as a PNG of 256 colours, a quarter of the size."
    from PIL import Image, PngImagePlugin
    buffer, words = io.BytesIO(), PngImagePlugin.PngInfo()
    fig.savefig(buffer, format="png")
    words.add_text("Description", description)
    Image.open(buffer).convert("RGB").quantize(256).save(path, pnginfo=words, optimize=True)


def draw_all(run, folder):
    "Write the three pictures of a folder: in a row, two by two, and a card of 1200 x 630."
    folder.mkdir(exist_ok=True)
    draw(run, folder / "hero.png", (9.6, 1.95), 9.5, 2.2, [(.12 + 2.39 * i, 1.83) for i in range(4)])
    corners = [(x, y) for y in (3.75, 1.85) for x in (.12, 2.48)]
    draw(run, folder / "hero-narrow.png", (4.8, 3.85), 10, 2.2, corners)
    corners = [(x, y) for y in (2.93, 1.47) for x in (2.45, 4.23)]
    words = "Reinforcement learning\nfor recommendation\n\n"
    words += "The film that each\nmethod puts first,\na square a person"
    about = [(.2, 2.95, "recnn", dict(fontsize=26, color=INK, fontweight="bold")),
             (.22, 2.3, words, dict(fontsize=11, color=SOFT, linespacing=1.4))]
    draw(run, folder / "hero-card.png", (6, 3.15), 8, 1.6, corners, about)
