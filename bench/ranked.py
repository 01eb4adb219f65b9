"""What rows of a table say of two methods: spread over seeds, noise over people, and paired differences.

A row of bench/agents_quality.py or bench/baselines.py keeps the place of each person's item in the list, so
that two methods can be compared person by person, as `recnn.evaluation.ranking.compare` does, with means over
seeds. A row that was measured before places were kept has an upper bound of the noise over people, and is not
compared.
"""
import numpy as np
import pandas as pd

from recnn.evaluation.statistics import decide, paired_difference

PLACES = "0123456789A"
METRIC = "NDCG@10"


def places(ndcg):
    "The place, from 1 to 10, of each person's item as a character; 0 where the list does not hold it."
    hit = np.asarray(ndcg) > 0
    place = np.where(hit, np.round(2 ** (1 / np.where(hit, ndcg, 1)) - 1), 0).astype(int)
    return "".join(PLACES[p] for p in place)


def people(row):
    "NDCG@10 of each person, from the places of a row; None where they were not kept."
    if not isinstance(row.get("places"), str): return None
    place = np.array([PLACES.index(c) for c in row["places"]])
    return np.where(place > 0, 1 / np.log2(1 + np.maximum(place, 1)), 0.)


def over_people(rows):
    "NDCG@10 of each person as a mean over the rows of one method; None where one has no places."
    found = [people(r) for r in rows]
    return None if not found or any(x is None for x in found) else np.mean(found, 0)


def largest_error(row):
    """Upper bound of the standard error of NDCG@10 over people, from its mean m and the hit rate h.

    A hit has an NDCG between a = 1/log2(11) and 1, so that its square is at most (1+a) NDCG - a.
    """
    a, m, h, n = 1 / np.log2(11), row[METRIC], row["HR@10"], row["users"]
    return float(np.sqrt(max((1 + a) * m - a * h - m * m, 0) / (n - 1)))


def error(rows):
    "Standard error over people of the mean of one method's rows; False if that is an upper bound."
    x = over_people(rows)
    if x is not None: return float(x.std(ddof=1) / np.sqrt(len(x))), True
    return float(np.mean([r.get(f"{METRIC} s.e.") or largest_error(r) for r in rows])), False


def by_agent(rows, **wanted):
    "Rows of each agent, among those whose columns have the wanted values."
    found = {}
    for r in rows:
        if all(r.get(k) == v for k, v in wanted.items()): found.setdefault(r["agent"], []).append(r)
    return found


def spreads(found):
    "Mean, both kinds of spread and number of seeds of each agent, as columns; `found` as from `by_agent`."
    table = {}
    for agent, rows in found.items():
        x, (e, exact) = [r[METRIC] for r in rows], error(rows)
        table[agent] = {METRIC: np.mean(x), "s.d. over seeds": np.std(x, ddof=1) if len(x) > 1 else np.nan,
                        "s.e. over people": f"{'' if exact else '≤ '}{e:.4f}", "seeds": len(x)}
    return pd.DataFrame.from_dict(table, orient="index").sort_values(METRIC, ascending=False)


def compared(found, pairs, alpha=.05):
    """Paired differences of pairs of agents, corrected for their number; those without places are left out.

    A row a pair: difference, low, high, p, 'more than noise'.
    """
    values = {a: over_people(rows) for a, rows in found.items()}
    known = [(a, b) for a, b in pairs if values.get(a) is not None and values.get(b) is not None]
    if not known: return pd.DataFrame(columns=["difference", "low", "high", "p", "more than noise"])
    rows = [paired_difference(values[a], values[b], 1 - alpha) for a, b in known]
    return decide(pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(known)), alpha)


def relation(table, a, b):
    "Where agent `a` stands: 'above' or 'below' `b`, 'within noise', or 'not recorded'; by `compared`."
    if (a, b) not in table.index: return "not recorded"
    r = table.loc[(a, b)]
    return ("above" if r.difference > 0 else "below") if r["more than noise"] else "within noise"


def relations(found, agents, others, alpha=.05):
    "The relation of each agent to each of some others, a row an agent."
    table = compared(found, [(a, b) for a in agents for b in others if a != b], alpha)
    return pd.DataFrame({b: {a: "" if a == b else relation(table, a, b) for a in agents} for b in others})


def said(found, pairs, alpha=.05):
    "What the comparison says of some pairs, in words."
    table, words, missing = compared(found, pairs, alpha), [], []
    for a, b in pairs:
        where = relation(table, a, b)
        if where == "not recorded":
            missing.append(f"{a} and {b}")
            continue
        verb = "is within noise of" if where == "within noise" else f"ranks {where}"
        figures = "({difference:+.3f} [{low:+.3f}, {high:+.3f}])".format(**table.loc[(a, b)])
        words.append(f"{a} {verb} {b} {figures}")
    parts = ["; ".join(words)] if words else []
    if missing: parts.append(f"Not compared, since the places of people were not kept: {'; '.join(missing)}")
    return ". ".join(parts)
