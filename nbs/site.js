// Behaviour of the documentation site beside smalldocs': light and dark, the folded table of contents, search.
(() => {
  "use strict";
  const root = document.documentElement;
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];

  // Light and dark: the script in the head has set the theme before the page paints
  const KEY = "recnn-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem(KEY); } catch (e) { return null; } };
  const setTheme = theme => {
    const dark = theme === "dark";
    root.dataset.bsTheme = theme;
    root.classList.toggle("quarto-dark", dark);
    $$(".sd-navbar-default").forEach(nav => { nav.dataset.bsTheme = theme; });
    $$("meta[name=theme-color]").forEach(meta => { meta.content = dark ? "#14171f" : "#ffffff"; });
    $$(".theme-toggle").forEach(button => { button.setAttribute("aria-pressed", dark); });
  };
  const follow = () => setTheme(stored() || (system.matches ? "dark" : "light"));
  follow();
  system.addEventListener("change", follow);
  addEventListener("storage", event => { if (event.key === KEY) follow(); });
  $$(".theme-toggle").forEach(button => button.addEventListener("click", () => {
    const theme = root.dataset.bsTheme === "dark" ? "light" : "dark";
    try { localStorage.setItem(KEY, theme); } catch (e) { /* a private window keeps the choice for one page */ }
    setTheme(theme);
  }));

  // Below the width of three columns the table of contents folds under the title
  const fold = $(".toc-fold"), toc = $("#TOC"), margin = $("#quarto-margin-sidebar");
  if (fold && toc && margin) {
    const wide = matchMedia("(min-width: 1510px)");
    const place = () => (wide.matches ? margin : fold).append(toc);
    place();
    wide.addEventListener("change", place);
    toc.addEventListener("click", event => { if (event.target.closest("a") && !wide.matches) fold.open = false; });
  }

  // The menu of pages shows the page's own entry, and on a phone opens and closes
  const menu = $(".quarto-btn-toggle"), sidebar = $("#quarto-sidebar"), entry = $("#quarto-sidebar a.active");
  if (entry) {
    const below = entry.getBoundingClientRect().bottom - sidebar.getBoundingClientRect().top - sidebar.clientHeight;
    if (below > 0) sidebar.scrollTop = below + sidebar.clientHeight/2;
  }
  if (menu && sidebar) {
    const state = () => menu.setAttribute("aria-expanded", sidebar.classList.contains("show"));
    new MutationObserver(state).observe(sidebar, {attributes: true, attributeFilter: ["class"]});
    state();
    sidebar.addEventListener("keydown", event => { if (event.key === "Escape") $("#quarto-sidebar-glass").click(); });
  }

  // Search: entries [href, page, section, text] that contain every word, the best first
  const plain = text => text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "").replace(/[-–—]/g, " ");
  const offset = ($('meta[name="smalldocs:offset"]') || {content: "./"}).content;
  let entries = null;
  const load = () => entries || new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = offset + "search.js";
    script.onload = () => {
      entries = window.searchIndex.map(([href, page, section, text]) =>
        ({href, page, section, text, fields: [plain(page), plain(section), plain(text)]}));
      done(entries);
    };
    script.onerror = fail;
    document.head.append(script);
  });
  const stem = word => word.length > 5 ? word.replace(/(ation|ing|ers?|ed|es|s)$/, "") : word;
  const escaped = word => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  // Scores of a word that is a whole word of the page's title, of the section's or of the text, or begins or lies in one
  const GAINS = [[12, 7, 2], [10, 6, 2], [2, 1.2, .3]];
  const gain = (word, fields) => {
    const whole = new RegExp(`(?<![\\p{L}\\p{N}])${escaped(word)}(?![\\p{L}\\p{N}])`, "gu");
    const start = new RegExp(`(?<![\\p{L}\\p{N}])${escaped(stem(word))}`, "gu");
    let sum = 0;
    fields.forEach((field, i) => {
      const counts = [(field.match(whole) || []).length, (field.match(start) || []).length, field.includes(word) ? 1 : 0];
      const kind = counts.findIndex(n => n);
      if (kind >= 0) sum += GAINS[i][kind] * (1 + Math.log(counts[kind]));
    });
    return sum;
  };
  const weight = href => /^(use|learn|tutorials)\//.test(href) ? 1.6 : /^(index|demo|contents)\.html/.test(href) ? 1.4 : 1;
  const find = (query, all) => {
    const phrase = plain(query).trim(), words = [...new Set(phrase.split(/[^\p{L}\p{N}_.]+/u).filter(Boolean))];
    const scored = all.map(entry => {
      const gains = words.map(word => gain(word, entry.fields));
      const found = gains.filter(g => g > 0).length;
      let score = gains.reduce((a, b) => a + b, 0);
      if (words.length > 1) entry.fields.forEach((f, i) => { if (f.includes(phrase)) score += [14, 12, 5][i]; });
      return {entry, found, score: score * weight(entry.href) * (entry.section ? 1 : 1.15)};
    }).filter(hit => hit.found);
    const most = Math.max(0, ...scored.map(hit => hit.found)), perPage = {};
    return scored.filter(hit => hit.found === most).sort((a, b) => b.score - a.score).filter(hit => {
      const page = hit.entry.href.split("#")[0];
      perPage[page] = (perPage[page] || 0) + 1;
      return perPage[page] <= 2;
    }).slice(0, 12).map(hit => hit.entry);
  };
  // Words one or two letters away, for a query that nothing contains
  const distance = (a, b) => {
    let row = [...Array(b.length + 1).keys()];
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++)
        next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] !== b[j - 1]));
      row = next;
    }
    return row[b.length];
  };
  const correct = (query, all) => {
    const known = new Map();
    all.forEach(e => e.fields.forEach(f => (f.match(/[\p{L}_]{4,}/gu) || []).forEach(w => known.set(w, (known.get(w) || 0) + 1))));
    return plain(query).trim().split(/\s+/).map(word => {
      if (known.has(word) || word.length < 4) return word;
      const allowed = word.length < 7 ? 1 : 2;
      const near = [...known].filter(([w]) => Math.abs(w.length - word.length) <= allowed)
        .map(([w, n]) => [distance(word, w), -n, w]).filter(([d]) => d <= allowed).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      return near.length ? near[0][2] : word;
    }).join(" ");
  };
  const safe = text => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
  const snippet = (text, query) => {
    const words = plain(query).split(/[^\p{L}\p{N}_.]+/u).filter(word => word.length > 1).map(stem);
    const flat = plain(text), at = Math.max(0, Math.min(...words.map(w => flat.indexOf(w)).filter(i => i >= 0), flat.length));
    const from = at === flat.length ? 0 : Math.max(0, text.lastIndexOf(" ", Math.max(0, at - 50)) + 1);
    const cut = text.slice(from, from + 150), mark = words.map(escaped).join("|");
    const parts = mark ? cut.split(new RegExp(`((?:${mark})[\\p{L}\\p{N}_]*)`, "giu")) : [cut];
    const shown = parts.map((part, i) => i % 2 ? `<mark>${safe(part)}</mark>` : safe(part)).join("");
    return (from ? "…" : "") + shown + (from + 150 < text.length ? "…" : "");
  };

  const box = $(".site-search");
  if (!box) return;
  const input = $("input", box), list = $(".search-results", box), status = $(".search-status", box);
  let active = -1, latest = 0;
  const options = () => $$("a", list);
  const close = () => { list.hidden = true; active = -1; input.setAttribute("aria-expanded", false); };
  const choose = step => {
    const items = options();
    if (!items.length) return;
    active = (active + step + items.length) % items.length;
    items.forEach((item, i) => item.setAttribute("aria-selected", i === active));
    items[active].scrollIntoView({block: "nearest"});
    input.setAttribute("aria-activedescendant", items[active].id);
  };
  const search = async () => {
    const query = input.value.trim(), turn = ++latest;
    if (query.length < 2) return close();
    let all;
    try { all = await load(); } catch (e) { status.textContent = "The search index did not load"; return; }
    if (turn !== latest) return;
    let used = query, hits = find(query, all);
    const words = plain(query).trim().split(/\s+/);
    if (!hits.length || !words.every(word => hits[0] && gain(word, hits[0].fields) > 0)) {
      const other = correct(query, all);
      if (other !== plain(query).trim()) [used, hits] = [other, find(other, all)];
    }
    const note = used === query ? "" : `<div class="search-note" role="option" aria-disabled="true">Showing results for <b>${safe(used)}</b></div>`;
    list.innerHTML = note + (hits.map((hit, i) => `<a role="option" id="search-${i}" aria-selected="false" tabindex="-1"
      href="${safe(offset + hit.href)}"><b>${safe(hit.page)}</b>${hit.section ? `<span>${safe(hit.section)}</span>` : ""}
      <small>${snippet(hit.text, used)}</small></a>`).join("") || `<div class="search-note" role="option" aria-disabled="true">Nothing contains “${safe(query)}”</div>`);
    status.textContent = `${hits.length} results`;
    list.hidden = false;
    active = -1;
    input.setAttribute("aria-expanded", true);
    input.removeAttribute("aria-activedescendant");
  };
  let timer = null;
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 80); });
  input.addEventListener("focus", () => { Promise.resolve(load()).catch(() => 0); if (input.value) search(); });
  input.addEventListener("keydown", event => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step) { event.preventDefault(); choose(step); }
    if (event.key === "Escape") close();
  });
  box.addEventListener("submit", async event => {
    event.preventDefault();
    if (list.hidden) await search();
    (options()[active] || options()[0] || input).click();
  });
  document.addEventListener("click", event => { if (!box.contains(event.target)) close(); });
  box.addEventListener("focusout", event => { if (event.relatedTarget && !box.contains(event.relatedTarget)) close(); });
  document.addEventListener("keydown", event => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    const slash = event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (slash || (event.key === "k" && (event.ctrlKey || event.metaKey))) { event.preventDefault(); input.focus(); }
  });
  // The page that stands for a missing one searches for the words of its address
  if ($("#not-found")) {
    const last = decodeURIComponent(location.pathname).replace(/\/$/, "").split("/").pop() || "";
    const words = last.replace(/\.\w+$/, "").replace(/^\d+\w?_|[_\W]+/g, " ").trim();
    if (words && words !== "404") { input.value = words; search(); }
  }
})();
