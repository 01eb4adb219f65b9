// Titles as people type them.

const ARTICLES = "the|a|an|le|la|les|l'|el|los|las|il|lo|der|die|das|un|une|i|o|os|as";
const MOVED = new RegExp(`^(.+), (${ARTICLES})( \\(.*)?$`, "i");
const LEADING = /^(the|a|an) /;

// "Shining, The" -> "The Shining"; further names in brackets are left out
export function shown(title) {
  const found = MOVED.exec(title);
  const main = found ? `${found[2]}${found[2].endsWith("'") ? "" : " "}${found[1]}` : title.replace(/ \(.*\)$/, "");
  return main || title;
}

// "Heat (1995)" -> ["Heat", 1995]
export function splitYear(title) {
  const found = /^(.*\S)\s*\((\d{4})\)\s*$/.exec(title);
  return found ? [found[1], +found[2]] : [title, 0];
}

export function plain(text) {
  return text
    .normalize("NFD")
    .replace(/[\u0300-\u036f]/g, "")
    .toLowerCase()
    .replace(/&/g, " and ")
    .replace(/['’`.]/g, "")
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim();
}

// Edits between two words, a swap of neighbours counting one; more than `most` is `most`+1
export function edits(a, b, most) {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let before = [],
    last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    if (Math.min(...row) > most) return most + 1;
    [before, last] = [last, row];
  }
  return last[b.length];
}

// How well a word of a question fits a word of a title, from 0 to 1; `open`: it may go on
function fit(word, token, open) {
  if (word === token) return 1;
  if (open && token.startsWith(word)) return 0.9;
  const most = word.length < 4 ? 0 : word.length < 8 ? 1 : 2;
  if (!most || /\d/.test(word) || (word[0] !== token[0] && word[1] !== token[0])) return 0;
  const away = edits(word, token, most);
  if (away <= most) return 0.8 - 0.12 * away;
  return open && word.length > 4 && edits(word, token.slice(0, word.length), 1) < 2 ? 0.55 : 0;
}

export class Titles {
  // titles: as the catalogue has them; years: 0 where unknown; counts: how often each was rated
  constructor(titles, years, counts) {
    this.years = years;
    this.words = new Map();
    this.names = titles.map((title, i) => {
      const names = [
        ...new Set([
          plain(shown(title)),
          ...[...title.matchAll(/\(([^)]+)\)/g)].map(m => plain(shown(m[1].replace(/^a\.?k\.?a\.? /i, "")))),
        ]),
      ];
      for (const word of names.flatMap(n => n.split(" "))) {
        if (!this.words.has(word)) this.words.set(word, new Set());
        this.words.get(word).add(i);
      }
      return names;
    });
    const top = Math.log1p(Math.max(1, ...counts));
    this.known = counts.map(n => Math.log1p(n) / top);
  }

  // The indices of at most `n` titles, best first
  find(text, n = 8) {
    const [name, year] = splitYear(text.trim().replace(/\s(\d{4})$/, " ($1)"));
    return this.rank(plain(name), year, n) || this.rank(plain(text), 0, n) || [];
  }

  rank(query, year, n) {
    const words = query.split(" ").filter(w => w);
    if (!words.length) return null;
    const joined = words.join(""),
      bare = query.replace(LEADING, ""),
      score = new Map();
    const fits = words.map((word, k) => {
      const best = new Map();
      for (const [token, items] of this.words) {
        const f = fit(word, token, k === words.length - 1);
        if (f) for (const i of items) if (f > (best.get(i) || 0)) best.set(i, f);
      }
      return best;
    });
    const optional = word => words.length > 1 && /^(the|a|an|of|and|in)$/.test(word);
    for (const i of new Set(fits.flatMap(f => [...f.keys()]))) {
      if (year && this.years[i] && Math.abs(this.years[i] - year) > 1) continue;
      if (words.some((w, k) => !fits[k].has(i) && !optional(w))) continue;
      score.set(i, words.reduce((sum, _, k) => sum + (fits[k].get(i) || 0), 0) / words.length);
    }
    if (joined.length > 3)
      this.names.forEach((names, i) => {
        // spiderman
        if (
          !score.has(i) &&
          !(year && this.years[i] !== year) &&
          names.some(t => t.replaceAll(" ", "").startsWith(joined))
        )
          score.set(i, 0.8);
      });
    for (const [i, s] of score) {
      const near = Math.max(
        ...this.names[i].map(t => {
          const own = t.replace(LEADING, "");
          return own === bare ? 1.2 : own.startsWith(bare) ? 0.45 : -0.01 * Math.min(own.length, 40);
        }),
      );
      score.set(i, 2 * s + near + 0.7 * this.known[i]);
    }
    const best = [...score]
      .sort((a, b) => b[1] - a[1] || a[0] - b[0])
      .slice(0, n)
      .map(([i]) => i);
    return best.length ? best : null;
  }
}
