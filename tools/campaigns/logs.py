"""Fuzzed rating logs and CSV texts, read by `read_log` and by slow oracles."""
import csv
import datetime
import io
import math
import re
from itertools import product

import pandas as pd

from campaigns.tries import WRONG, generator, judge
from recnn.data.log import read_log
from recnn.data.tables import COLUMNS

NAMES = ("user_id", "item_id", "rating", "timestamp")
OTHER = dict(user_id=("userId", "user", "who"), item_id=("movieId", "item", "what"),
             rating=("Rating", "score", "points"), timestamp=("time", "date", "when"))
FORMS = "frame", "polars", "csv", "parquet"
BASE = 1_500_000_000  # seconds
ERRORS = r"DataFrame|log\.(csv|parquet)"  # what an error has to name


class Refuse(Exception): "The oracle's word that a log must be refused."


def pick(rng, *options): return options[rng.integers(len(options))]


# ---------------------------------------------------------------- columns of a random log

def ids(rng, n, odd):
    "Cells of an id column with few distinct values; `odd` chooses ids that are hard to read."
    few = int(rng.integers(1, 9))
    numbers = rng.choice(50, few, replace=False).tolist()
    kinds = dict(
        number=numbers, text=[f"{pick(rng, 'a', 'B', 'é', 'x y')}{i}" for i in numbers],
        padded=[f"{i:04d}" for i in numbers] + [str(numbers[0])],
        mixed=[str(numbers[0]), "A7", *map(str, numbers[1:])], large=[2**53 + i for i in numbers],
        huge=[2**63 + i for i in numbers], negative=[-i for i in numbers], whole=[float(i) for i in numbers],
        fraction=[i + .5 for i in numbers], boolean=["True", "true", "False"][:max(few % 4, 1)],
        exponent=[f"{i + 1}e2" for i in numbers] + [str(100 * (numbers[0] + 1))],
        word=["NA", "nan", "None", "null", "-", "N/A"][:few], spaced=[f" {i}" for i in numbers],
        signed=[f"+{i + 1}" for i in numbers], missing=[None, *numbers])
    kind = pick(rng, *kinds) if odd else pick(rng, "number", "text")
    cells = [kinds[kind][k] for k in rng.integers(len(kinds[kind]), size=n)]
    return cells, kind


def stamp(seconds, zone=datetime.timezone.utc):
    "A datetime of seconds since 1970."
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).astimezone(zone)


def times(rng, n, odd):
    "Cells of a time column and what they mean in seconds, or None where the log has no such column."
    seconds = [BASE + int(i) for i in rng.integers(0, pick(rng, 5, 40, 10**8), n)]
    parts = [s + int(i) / 1000 for s, i in zip(seconds, rng.integers(0, 1000, n))]
    east = datetime.timezone(datetime.timedelta(hours=2))
    kinds = dict(
        whole=(seconds, seconds), fraction=(parts, parts),
        date=([stamp(s).replace(tzinfo=None) for s in seconds], seconds),
        date_part=([stamp(s).replace(tzinfo=None) for s in parts], parts),
        iso=([stamp(s).strftime("%Y-%m-%dT%H:%M:%SZ") for s in seconds], seconds),
        iso_part=([stamp(s).isoformat(pick(rng, " ", "T"), "milliseconds") for s in parts], parts),
        zones=([stamp(s, pick(rng, east, datetime.timezone.utc)).isoformat() for s in seconds], seconds),
        milli=([round(s * 1000) for s in parts], parts), micro=([s * 10**6 + 5 for s in seconds], seconds),
        same=([BASE] * n, [BASE] * n), missing=([None, *seconds[1:]], None),
        word=(["yesterday", *map(str, seconds[1:])], None), none=(None, range(n)))
    kind = pick(rng, *kinds) if odd else pick(rng, "whole", "none")
    cells, meaning = kinds[kind]
    return cells, meaning, kind


def ratings(rng, n, odd):
    "Cells of a rating column, the option `rewards`, and the reward of each row (None: to be refused)."
    stars = [int(i) / 2 for i in rng.integers(1, 11, n)]
    ten, hundred = rng.integers(1, 11, n).tolist(), rng.integers(0, 101, n).tolist()
    names = [pick(rng, "click", "buy") for _ in range(n)]
    worth = dict(click=.25, buy=1.)
    star = [2 * (r - 2.5) for r in stars]
    inferred = star if len(set(stars)) > 1 else None
    kinds = dict(
        stars=(stars, None, inferred), said=(stars, "stars", star), none=(None, None, [1.] * n),
        ten=(ten, (5.5, 2.), [2 * (r - 5.5) for r in ten]), guess=([11, *ten[1:]], None, None),
        hundred=(hundred, (50., .1), [.1 * (r - 50) for r in hundred]),
        event=(names, worth, [worth[x] for x in names]), unknown=(["view", *names[1:]], worth, None),
        implicit=([1.] * n, "implicit", [1.] * n), missing=([None, *stars[1:]], "stars", None),
        infinite=([math.inf, *stars[1:]], "stars", None), below=([-1., *stars[1:]], "stars", None),
        text=(["four", *map(str, stars[1:])], "stars", None))
    kind = pick(rng, *kinds) if odd else pick(rng, "said", "ten", "none")
    return (*kinds[kind], kind)


# ---------------------------------------------------------------- the oracle

def id_texts(cells, kind):
    "Ids as text; numbers that need more than 63 bits and fractions are refused, and so are missing ones."
    if any(c is None or c == "" for c in cells): raise Refuse(f"a missing id among {kind}")
    if all(isinstance(c, (int, float)) for c in cells):
        if any(c != int(c) or abs(c) >= 2**63 for c in cells): raise Refuse(f"{kind} ids")
        return [str(int(c)) for c in cells]
    return [str(c) for c in cells]


def oracle(users, items, rewards, seconds, duplicates, timed, keys):
    """Rows (user, item, reward, second) of a log in its right order: by user and time, then as in the file.

    `keys` are the rows' cells, for what is a repetition.
    """
    if not users: raise Refuse("no rows")
    rows, seen = [], set()
    for row in range(len(users)):
        if duplicates != "keep" and timed and keys[row] in seen:
            if duplicates == "refuse": raise Refuse(f"row {row + 1} repeats an earlier one")
            continue
        seen.add(keys[row])
        rows.append((users[row], items[row], rewards[row], seconds[row], row))
    rows.sort(key=lambda r: (r[3], r[4]))
    return rows


def found_rows(log):
    "Rows (user, item, reward, second) of a `Log` as text and numbers."
    users, items = log.user_ids[log.user].tolist(), log.item_ids[log.item].tolist()
    rewards, seconds = log.reward.astype(float).tolist(), log.timestamp.tolist()
    return list(zip(map(str, users), map(str, items), rewards, seconds))


def number(text):
    "A text as a number, or None."
    try: return float(text)
    except ValueError: return None


def differs(want, found, exact_times=False):
    "In what the rows of a log differ from the oracle's; '' where they do not."
    if len(want) != len(found): return f"{len(found)} rows, {len(want)} are right"
    by_user, pairs = {}, [{}, {}]
    for row in want: by_user.setdefault(row[0], []).append(row)
    order = []
    for row in found:
        if row[0] not in order: order.append(row[0])
    # a text id may be read as the number that it writes, where no other id of the column becomes the same one
    known = {u: u if u in by_user else next((w for w in by_user if same_id(w, u)), None) for u in order}
    if None in known.values(): return f"user {[u for u in order if known[u] is None][0]!r} is not in the log"
    for user in order:
        mine, theirs = by_user[known[user]], [r for r in found if r[0] == user]
        if len(mine) != len(theirs): return f"user {user} has {len(theirs)} rows, {len(mine)} are right"
        for place, (w, f) in enumerate(zip(mine, theirs)):
            if not same_id(w[1], f[1]): return f"user {user}, place {place}: item {f[1]!r}, {w[1]!r} is right"
            if not math.isclose(w[2], f[2], rel_tol=1e-4, abs_tol=1e-4):
                return f"user {user}, place {place}: reward {f[2]}, {w[2]} is right"
            if exact_times and abs(w[3] - f[3]) >= 1: return f"user {user}: time {f[3]}, {w[3]} is right"
            for pair, a, b in zip(pairs, w, f):
                if pair.setdefault(a, b) != b: return f"id {a!r} becomes both {pair[a]!r} and {b!r}"
    for pair in pairs:
        if len(set(pair.values())) < len(pair): return f"two ids become one among {sorted(pair)}"
    return ""


def same_id(want, found):
    "True where an id is the one that the file writes: the same text, or the same number."
    return want == found or number(want) == number(found) is not None


# ---------------------------------------------------------------- campaign: random logs

def write(table, form, rng):
    "A table in one of the forms: a data frame, or the name of a file in the working folder."
    frame = pd.DataFrame({c: pd.Series(cells, dtype=column_type(cells)) for c, cells in table.items()})
    if form == "frame": return frame
    if form == "csv":
        text = io.StringIO(newline="")
        quoting, end = pick(rng, csv.QUOTE_MINIMAL, csv.QUOTE_ALL), pick(rng, "\n", "\r\n")
        out = csv.writer(text, quoting=quoting, lineterminator=end)
        out.writerow(table)
        for row in zip(*table.values()): out.writerow(["" if c is None else c for c in row])
        open("log.csv", "w", newline="", encoding=pick(rng, "utf-8", "utf-8-sig")).write(text.getvalue())
        return "log.csv"
    import polars as pl
    if form == "polars": return pl.DataFrame(table, strict=True)
    frame.to_parquet("log.parquet")
    return "log.parquet"


def column_type(cells):
    "Type of a column of pandas: text and big numbers stay objects."
    text = any(isinstance(c, str) for c in cells)
    big = any(isinstance(c, int) and abs(c) >= 2**63 for c in cells)
    return object if text or big or (any(c is None for c in cells) and isinstance(cells[-1], int)) else None


def random_log(rng):
    "A random table, the options to read it with, and the oracle's rows or its refusal."
    n, odd = int(rng.integers(1, 30)), set(rng.choice(5, int(rng.integers(0, 3)), replace=False).tolist())
    users, user_kind = ids(rng, n, 0 in odd)
    items, item_kind = ids(rng, n, 1 in odd)
    when, seconds, time_kind = times(rng, n, 2 in odd)
    rating, rewards, worth, rating_kind = ratings(rng, n, 3 in odd)
    table = dict(user_id=users, item_id=items, rating=rating, timestamp=when)
    table = {name: cells for name, cells in table.items() if cells is not None}
    if rng.random() < .3:  # repeat some rows
        for row in rng.integers(n, size=2): table = {c: [*x, x[row]] for c, x in table.items()}
        if seconds is not None: seconds = [*seconds, *([0, 0] if when is None else [])]
    rows = list(zip(*table.values()))
    back = dict(zip(rows, zip(worth or [None] * n, seconds or [None] * n)))
    order = rng.permutation(len(rows))
    rows = [rows[i] for i in order]
    table = {c: list(x) for c, x in zip(table, zip(*rows))}
    worth = [back[r][0] for r in rows] if worth else None
    seconds = list(range(len(rows))) if when is None else [back[r][1] for r in rows] if seconds else None
    duplicates, columns = pick(rng, "refuse", "refuse", "drop", "keep"), {}
    kinds = f"{user_kind} users, {item_kind} items, {time_kind} times, {rating_kind} ratings"
    lost = pick(rng, "user_id", "item_id") if 4 in odd else None

    def right():
        if lost or worth is None or seconds is None: raise Refuse(f"{kinds}, without {lost}")
        twice = list(zip(table["user_id"], table["item_id"], table.get("rating", worth), seconds))
        users, items = id_texts(table["user_id"], user_kind), id_texts(table["item_id"], item_kind)
        return oracle(users, items, worth, seconds, duplicates, when is not None, twice)

    named = {}
    for name, cells in table.items():
        if name == lost: continue
        head = pick(rng, name, *OTHER[name])
        if head in ("who", "what", "points", "when"): columns[name] = head
        named[head] = cells
    if rng.random() < .5: named["note"] = [pick(rng, "x", 'a "b"', "p,q", "1;2") for _ in rows]
    return named, dict(columns=columns, rewards=rewards, duplicates=duplicates, valid=0, test=0), right, kinds


def as_oracle(right, call, kinds, names=ERRORS):
    "Verdict of a call beside an oracle that gives rows, or refuses."
    try: want = right()
    except Refuse as e: want, why = None, str(e)
    if want is None: return judge(call, lambda found: f"was read, though {why}", names)
    verdict, detail = judge(call, lambda found: differs(want, found), names)
    return verdict, f"{detail} ({kinds})" if detail else ""


def fuzzed_log(seed, i):
    "One random log against the oracle."
    rng = generator("log", seed, i)
    table, options, right, kinds = random_log(rng)
    form = pick(rng, *FORMS)
    try: source = write(table, form, rng)
    except Exception: source = write(table, "csv", rng)  # these cells have no other form
    open("input.txt", "w").write(repr((table, options, form)))
    return as_oracle(right, lambda: found_rows(read_log(source, **options)), kinds)


# ---------------------------------------------------------------- campaign: CSV texts

GAPS, ENDS = ",,,,;\t|", ("\n", "\n", "\r\n", "\r")
NOTES = "plain", "", 'say "hi"', "a,b", "a;b", "two\nlines", "é", '"', "NA", "0", "'", "tab\there", "x|y"
HURTS = ('"', ",", "\n", "\r", "\0", ";", "\t", '""', "\ufeff", " ", '"\n', ',"', "9",
         "\\", "'", "\x1a", "\u2028")


def random_text(rng):
    "A random CSV text of a log, the separator and the encoding."
    gap, end = GAPS[rng.integers(len(GAPS))], pick(rng, *ENDS)
    heads = [*NAMES, "note", "other"]
    rng.shuffle(heads)
    n, text = int(rng.integers(1, 12)), io.StringIO(newline="")
    quoting = pick(rng, csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    out = csv.writer(text, delimiter=gap, lineterminator=end, quoting=quoting)
    out.writerow(heads)
    for row in range(n):
        cells = dict(user_id=int(rng.integers(5)), item_id=f"{pick(rng, '', 'i')}{rng.integers(9)}",
                     rating=int(rng.integers(1, 11)) / 2, timestamp=BASE + int(rng.integers(10**6)),
                     note=pick(rng, *NOTES), other=pick(rng, *NOTES))
        out.writerow([cells[h] for h in heads])
    text = text.getvalue()
    for _ in range(int(rng.integers(0, 3))):
        at = int(rng.integers(len(text) + 1))
        kind = rng.integers(4)
        if kind == 0: text = text[:at] + pick(rng, *HURTS) + text[at:]
        elif kind == 1: text = text[:at] + text[at + int(rng.integers(1, 4)):]
        elif kind == 2: text = text[:at] + '"' + text[at:at + 40] + '"' + text[at + 40:]
        else: text = text + text[at:]
    coding = pick(rng, *["utf-8"] * 6, "utf-8-sig", "latin-1", "cp1252", "utf-16")
    return text, gap, coding


def cell_rows(heads, rows, strip, comma):
    """Oracle's rows of a text that a strict reader has cut into cells; `strip`: spaces around ids go.

    `comma`: commas separate values, so that none is a decimal point.
    """
    heads = [next((name for name in NAMES if plain(h) in map(plain, COLUMNS[name])), h) for h in heads]
    names = NAMES if "timestamp" in heads else NAMES[:3]  # times may be absent
    if any(heads.count(name) != 1 for name in names): raise Refuse(f"the header is {heads}")
    place = [heads.index(name) for name in names]
    cut = []
    for row in rows:
        if len(row) > len(heads): raise Refuse("a row is longer than the header")
        short = len(row) <= max(place) or any(row[p].strip() == "" for p in place)
        if short: raise Refuse("a value is missing")
        cut.append([*(row[p] for p in place), *([] if "timestamp" in heads else [str(len(cut))])])
    users, items, rating, when = [list(x) for x in zip(*cut)] if cut else [[]] * 4
    point = lambda text: text if comma else text.replace(",", ".")  # a comma may be a decimal point
    worth, seconds = [number(point(r)) for r in rating], [number(point(t)) for t in when]
    if any(w is None or not 0 <= w < 1e30 for w in worth): raise Refuse("a rating is no number")
    if any(s is None or not math.isfinite(s) for s in seconds): raise Refuse("a time is no number")
    for column in (users, items):  # columns of numbers alone have no fractions and fit 63 bits
        values = [number(c) for c in column]
        plain_numbers = all(v is not None and math.isfinite(v) for v in values)
        if plain_numbers: id_texts(list(map(exact, column)), "number")
    if strip: users, items = [u.strip() for u in users], [i.strip() for i in items]
    return oracle(users, items, worth, seconds, "refuse", "timestamp" in heads,
                  list(zip(users, items, worth, seconds)))


def plain(name):
    "A name without case and gaps, as names of columns are compared."
    return re.sub(r"[\s_-]", "", name).casefold()


def exact(text):
    "A whole number of a text as int, any other text as float or as it is."
    if re.fullmatch(r"\s*[+-]?\d+\s*", text): return int(text)
    return text if number(text) is None else number(text)


def by_csv(text, gap):
    "Cells of a text as Python's strict reader cuts them."
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=gap, strict=True) if row]
    if not rows: raise Refuse("the file is empty")
    return rows[0], rows[1:]


def by_pandas(text, gap):
    "Cells of a text as pandas cuts them."
    options = dict(dtype=str, keep_default_na=False, index_col=False, header=None, on_bad_lines="error")
    frame = pd.read_csv(io.StringIO(text, newline=""), sep=gap, engine="python", **options)
    rows = [[c for c in row if isinstance(c, str)] for row in frame.itertuples(index=False)]
    return rows[0], rows[1:]


def codings(raw, coding):
    "Encodings in which a file may be read: its own, and one of a byte a character where it is not UTF-8."
    try: raw.decode(coding)
    except UnicodeDecodeError: return "cp1252", "latin-1"
    return (coding,)


def fuzzed_text(seed, i):
    "One random CSV text against two strict readers."
    rng = generator("text", seed, i)
    text, gap, coding = random_text(rng)
    raw = text.encode(coding, "replace")
    if coding == "utf-8" and rng.random() < .1:
        at = int(rng.integers(len(raw) + 1))
        raw = raw[:at] + bytes([int(rng.integers(128, 256))]) + raw[at:]  # no UTF-8
    open("log.csv", "wb").write(raw)
    answers = []
    for reader, name, strip in product((by_csv, by_pandas), codings(raw, coding), (False, True)):
        try:
            cells = reader(raw.decode(name).removeprefix("\ufeff"), gap)
            answers.append(cell_rows(*cells, strip, gap == ","))
        except (Refuse, csv.Error, ValueError, IndexError) as e: answers.append(f"{reader.__name__}: {e}")
    lists = [a for a in answers if isinstance(a, list)]

    def wrong(found):
        if not lists: return f"was read as {len(found)} rows; refused by {answers[0]}"
        whys = [differs(want, found) for want in lists]
        return "" if "" in whys else whys[0]
    verdict, detail = judge(lambda: found_rows(read_log("log.csv", rewards=(0, 1), valid=0, test=0)), wrong,
                            r"log\.csv")
    return (verdict, f"{detail} ({coding}, {gap!r})") if verdict == WRONG else (verdict, detail)
