// The demo's page: picks, lists, the slider through training, and the address that keeps them.
// It stands beside the data of the site, or is served by `recnn serve` and then asks the server.

import { shown, splitYear, Titles } from "./search.js";
import { Agents, best, ItemKNN, read, readJson } from "./models.js";
import { CatalogueMap } from "./map.js";

const $ = id => document.getElementById(id);
const STATIC = document.documentElement.dataset.mode === "static";
const K = 10,
  MOST = 50; // items of a list, picks

const make = (tag, options = {}, ...children) => {
  // titles are text, never HTML
  const { className, text, ...rest } = options,
    node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(rest)) node.setAttribute(name, value);
  node.append(...children.filter(c => c !== null));
  return node;
};
const say = text => {
  $("told").textContent = text;
};

const state = { picks: [], step: 0, lists: {}, before: {}, map: "ddpg" };

// The two places that the page can stand in

class Site {
  // data beside the page; nothing leaves the browser
  async open() {
    const [manifest, catalogue, knn] = await Promise.all([
      readJson("data/manifest.json"),
      readJson("data/catalogue.json"),
      read("data/item_knn.bin"),
    ]);
    Object.assign(this, { manifest, catalogue, ratings: manifest.ratings });
    this.index = new Map(catalogue.item_id.map((id, i) => [String(id), i]));
    this.knn = new ItemKNN(knn, manifest.item_knn, catalogue.item_id.length);
    this.titles = new Titles(catalogue.title, catalogue.year, catalogue.ratings);
    this.steps = manifest.updates;
    this.models = [
      ["ddpg", "DDPG", "Trained to choose what its own critic values most. Move the slider to see it learn."],
      ["default", "Default agent", "Imitates what people went on to choose, more so where they liked it."],
      ["item_knn", "Item-kNN", "No training: films that people rated along with yours. Stars do not count here."],
    ];
  }

  item(id) {
    const i = this.index.get(id),
      c = this.catalogue;
    return i === undefined ? null : { item: i, id, title: shown(c.title[i]), year: c.year[i], genres: c.genres[i] };
  }

  async known(ids) {
    return ids.map(id => this.item(id));
  }
  of(i) {
    return this.item(String(this.catalogue.item_id[i]));
  }
  async find(text) {
    return this.titles.find(text).map(i => this.of(i));
  }

  async lists(picks) {
    const hidden = new Set(picks.map(p => p.item)),
      N = this.catalogue.item_id.length;
    const found = { item_knn: best(this.knn.scores(picks.map(p => p.item)), K, hidden) };
    this.path = null;
    if (this.agents) {
      found.default = best(await this.agents.scores("default", picks), K, hidden);
      const scores = await this.agents.scores("ddpg", picks);
      const snapshots = this.steps.map((_, s) => scores.subarray(s * N, (s + 1) * N));
      this.snapshots = snapshots.map(s => best(s, K, hidden));
      this.path = snapshots.map(s => best(s, 1, new Set())[0]); // the items nearest to the proto-actions
      found.ddpg = this.snapshots[state.step];
    }
    return found;
  }

  about(name) {
    return this.manifest.models[name === "ddpg" ? `ddpg ${this.steps[state.step]}` : name];
  }
}

class Server {
  // one model behind HTTP
  async open() {
    const health = await this.ask("health");
    this.ratings = health.ratings;
    this.text = health.ids === "text";
    this.models = [["default", health.model, `${health.items.toLocaleString("en")} items`]];
    this.steps = [];
    $("about").textContent = `The server answers with what its model, ${health.model}, recommends.`;
  }

  async ask(path, question) {
    const options = question && {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(question),
    };
    const answer = await fetch(path, options),
      found = await answer.json();
    if (!answer.ok) throw new Error(typeof found.detail === "string" ? found.detail : `status ${answer.status}`);
    return found;
  }

  row({ item_id, title }) {
    const [name, year] = splitYear(title);
    return { item: item_id, id: String(item_id), title: shown(name), year, genres: "" };
  }

  async find(text) {
    return (await this.ask(`items?limit=8&q=${encodeURIComponent(text.slice(0, 300))}`)).items.map(i => this.row(i));
  }

  async known(ids) {
    // their titles: the only items that a list may hold
    const items = ids.map(id => (this.text ? id : Number(id)));
    if (!items.length || items.some(i => i !== i)) return ids.map(() => null);
    const rows = { history: [{ item: items[0] }], only: items, k: items.length, repeats: true };
    const found = await this.ask("recommend", rows).catch(() => null);
    const by = new Map((found ? found.lists[0].items : []).map(i => [String(i.item_id), this.row(i)]));
    return ids.map(id => by.get(id) || null);
  }

  async lists(picks) {
    const history = picks.map(({ item, rating }) => (this.ratings ? { item, rating } : { item }));
    const found = (await this.ask("recommend", { history, k: K })).lists[0];
    this.rows = new Map(found.items.map(i => [i.item_id, this.row(i)]));
    return { default: found.items.map(i => i.item_id) };
  }

  of(i) {
    return this.rows.get(i);
  }
  about() {
    return null;
  }
}

const place = STATIC ? new Site() : new Server();
const stars = () => Array.isArray(place.ratings) && place.ratings[1] === 5 && place.ratings[0] >= 0;
const named = ({ title, year }) => (year ? `${title} (${year})` : title);

// The address

const decoded = text => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  const picks = (given.get("p") || "")
    .split(",")
    .filter(x => x)
    .slice(0, MOST)
    .map(x => {
      const at = x.lastIndexOf(":"),
        rating = at < 0 ? "" : x.slice(at + 1);
      return [decoded(at < 0 ? x : x.slice(0, at)), rating];
    });
  const updates = Number(given.get("u"));
  return { picks, step: given.has("u") ? place.steps.indexOf(updates) : -1 };
}

function writeHash() {
  const picks = state.picks.map(p => `${encodeURIComponent(p.id).replaceAll("%", "%25")}:${p.rating}`).join(",");
  const step = STATIC ? `&u=${place.steps[state.step]}` : "";
  history.replaceState(null, "", `#p=${picks}${step}`);
}

function asRating(text) {
  const all = place.ratings;
  if (!all) return "";
  if (typeof all[0] === "string") return all.includes(text) ? text : all[0];
  const x = Number(text);
  return text === "" || !(x >= all[0] && x <= all[1]) ? all[1] : x;
}

async function load() {
  const { picks, step } = readHash();
  state.step = step >= 0 ? step : Math.max(0, place.steps.length - 1);
  const items = await place.known(picks.map(p => p[0]));
  state.picks = [];
  items.forEach((item, i) => {
    if (item && !state.picks.some(p => p.id === item.id)) state.picks.push({ ...item, rating: asRating(picks[i][1]) });
  });
  const lost = items.filter(i => !i).length;
  await update({ keep: true });
  if (lost) say(`${lost} of the address's ${picks.length} items are not in this catalogue.`);
}

// Picks

function starControl(pick) {
  const text = "★★★★★",
    fill = make("b", { text, "aria-hidden": "true" });
  const node = make(
    "span",
    {
      className: "stars",
      role: "slider",
      tabindex: "0",
      "aria-valuemin": ".5",
      "aria-valuemax": "5",
      "aria-label": `Stars for ${named(pick)}`,
    },
    make("span", { text, "aria-hidden": "true" }),
    fill,
  );
  const show = () => {
    fill.style.width = `${pick.rating * 20}%`;
    node.setAttribute("aria-valuenow", pick.rating);
    node.setAttribute("aria-valuetext", `${pick.rating} stars`);
  };
  const set = rating => {
    const to = Math.max(0.5, Math.min(5, rating));
    if (to !== pick.rating) rate(pick, to);
  };
  node.addEventListener("click", e => {
    const box = node.getBoundingClientRect();
    set(Math.ceil(((e.clientX - box.left) / box.width) * 10) / 2);
  });
  node.addEventListener("keydown", e => {
    const by = { ArrowRight: 0.5, ArrowUp: 0.5, ArrowLeft: -0.5, ArrowDown: -0.5, Home: -9, End: 9 }[e.key];
    if (by) {
      e.preventDefault();
      set(pick.rating + by);
    }
  });
  show();
  return node;
}

function otherControl(pick) {
  const all = place.ratings,
    label = `Rating of ${named(pick)}`;
  if (!all) return null;
  const words = typeof all[0] === "string";
  const node = words
    ? make("select", { "aria-label": label }, ...all.map(name => make("option", { value: name, text: name })))
    : make("input", { type: "number", min: all[0], max: all[1], step: "any", "aria-label": label });
  node.value = pick.rating;
  node.addEventListener("change", () => rate(pick, asRating(node.value)));
  return node;
}

function showPicks(focus) {
  $("picks").replaceChildren(
    ...state.picks.map(pick => {
      const flip = make("button", {
        type: "button",
        className: "flip",
        text: "⇅",
        title: "Flip: 5 stars become 1",
        "aria-label": `Flip the stars of ${named(pick)}`,
      });
      flip.addEventListener("click", () => rate(pick, 6 - Math.max(1, pick.rating), "flip"));
      const drop = make("button", {
        type: "button",
        className: "drop",
        text: "×",
        title: "Remove",
        "aria-label": `Remove ${named(pick)}`,
      });
      drop.addEventListener("click", () => {
        const at = state.picks.indexOf(pick);
        state.picks.splice(at, 1);
        const next = $("picks").children[at + 1] || $("picks").children[at - 1];
        const to = next ? [next.dataset.id, "drop"] : null;
        update({ focus: to });
        if (!to) $("search").focus();
      });
      return make(
        "li",
        { "data-id": pick.id },
        make("span", { className: "title", text: named(pick) }),
        stars() ? starControl(pick) : otherControl(pick),
        stars() ? flip : null,
        drop,
      );
    }),
  );
  if (focus)
    [...$("picks").children]
      .find(li => li.dataset.id === focus[0])
      ?.querySelector(`.${focus[1]}`)
      ?.focus();
  $("hint").textContent = state.picks.length
    ? "Click a star to rate, ⇅ to flip 5 stars to 1, and see what changes in the lists."
    : "";
  $("clear").hidden = $("copy").hidden = !state.picks.length;
}

function add(item) {
  if (state.picks.some(p => p.id === item.id)) return say(`${named(item)} is among your picks already.`);
  if (state.picks.length >= MOST) return say(`A list holds ${MOST} picks; remove one first.`);
  state.picks.push({ ...item, rating: asRating("") });
  update();
}

function rate(pick, rating, focus = "stars") {
  pick.rating = rating;
  update({ focus: [pick.id, stars() ? focus : "other"] });
}

// Lists

const changes = (list, before) => {
  if (!before) return { marks: new Map(), gone: [] };
  const marks = new Map();
  list.forEach((item, i) => {
    const was = before.indexOf(item);
    if (was < 0) marks.set(item, ["new", "new"]);
    else if (was !== i) marks.set(item, ["moved", was > i ? `▲ ${was - i}` : `▼ ${i - was}`]);
  });
  return { marks, gone: before.filter(item => !list.includes(item)) };
};

const genresOf = film =>
  film.genres
    .split("|")
    .filter(g => !g.startsWith("("))
    .slice(0, 3)
    .join(" · ");

function row(item, rank, mark, everyone, all) {
  const film = place.of(item),
    percent = everyone.get(item);
  const li = make(
    "li",
    { "data-id": film.id, className: mark ? mark[0] : "" },
    make("span", { className: "rank", text: rank }),
  );
  const marks = [
    mark && [mark[0], mark[1], mark[0] === "new" ? "entered the list" : "moved"],
    all.has(item) && ["all", "in all three", "in all three lists"],
    percent >= 0.3 && [
      "most",
      percent > 0.995 ? "everybody gets this" : `${Math.round(100 * percent)} % get this`,
      "of the held-out people, in their ten",
    ],
  ].filter(x => x);
  li.append(
    make(
      "div",
      {},
      make(
        "span",
        { className: "title" },
        make("span", { className: "name", text: film.title }),
        film.year ? make("span", { className: "year", text: ` ${film.year}` }) : null,
      ),
      make(
        "span",
        { className: "marks" },
        film.genres ? make("span", { className: "genres", text: genresOf(film) }) : null,
        ...marks.map(([kind, text, title]) => make("span", { className: `mark ${kind}`, text, title })),
      ),
    ),
  );
  return li;
}

function people(about) {
  if (!about) return null;
  const parts = about.first.map(([i, n]) => [n, `${named(place.of(i))}: ${n} of ${about.users}`]);
  const bar = make("div", {
    className: "bar",
    role: "img",
    "aria-label": `${about.distinct} different first films for ${about.users} people`,
  });
  for (const [n, title] of parts) {
    const part = make("i", { title });
    part.style.flex = `${n} 0 0`;
    bar.append(part);
  }
  return make(
    "div",
    { className: "people", title: "People whom no model learnt from; one block for each film that comes first" },
    bar,
    make("strong", { text: about.distinct }),
    document.createTextNode(firstFilms(about)),
  );
}

function firstFilms({ distinct, users, first }) { // continues a sentence that begins with the number
  const [top, n] = first[0],
    film = place.of(top).title;
  if (distinct === 1) return ` film comes first for all ${users} held-out people: ${film}`;
  const most = n > 0.3 * users ? `; ${Math.round((100 * n) / users)} % get ${film}` : "";
  return ` different first films for ${users} held-out people${most}`;
}

function showLists() {
  const lists = state.lists,
    names = place.models.map(m => m[0]);
  const all = new Set(
    STATIC && names.every(n => lists[n])
      ? lists.ddpg.filter(i => lists.default.includes(i) && lists.item_knn.includes(i))
      : [],
  );
  const sections = place.models.map(([name, label, note]) => {
    const list = lists[name],
      about = place.about(name),
      box = make("section", { className: `card list ${name}`, "data-model": name, "aria-label": label });
    const heading = make("h2", { text: label });
    if (name === "ddpg")
      heading.append(" ", make("span", { text: `after ${place.steps[state.step].toLocaleString("en")} updates` }));
    box.append(heading, make("p", { className: "note", text: note }), people(about) || "");
    if (!state.picks.length) return (box.append(make("p", { className: "wait", text: "Pick something first." })), box);
    if (!list) return (box.append(waiting()), box);
    const { marks, gone } = changes(list, state.before[name]),
      everyone = new Map(about ? about.common : []);
    box.append(
      make(
        "ol",
        { className: state.open ? "open" : "" },
        ...list.map((item, i) => row(item, i + 1, marks.get(item), everyone, all)),
      ),
    );
    if (list.length > 5 && !state.open) box.append(moreButton());
    if (gone.length)
      box.append(
        make("p", {
          className: "gone",
          text: `Gone: ${gone.map(i => (place.of(i) || state.films.get(i)).title).join(", ")}`,
        }),
      );
    return box;
  });
  $("lists").replaceChildren(...sections);
}

function moreButton() {
  // on a narrow screen a list shows five
  const button = make("button", { type: "button", className: "more", text: "Show all ten" });
  button.addEventListener("click", () => {
    state.open = true;
    for (const ol of document.querySelectorAll(".list ol")) ol.classList.add("open");
    for (const b of document.querySelectorAll(".more")) b.remove();
  });
  return button;
}

function waiting() {
  if (place.failed) return make("p", { className: "wait", text: `The agents cannot run here: ${place.failed}` });
  const bar = make("progress", { max: "1", value: place.arrived || 0, "aria-label": "Loading" });
  return make("div", { className: "wait" }, document.createTextNode("Loading the agents, 17 MB once …"), bar);
}

function tellChanges() {
  const parts = place.models
    .filter(([n]) => state.before[n] && state.lists[n])
    .map(([n, label]) => {
      const entered = state.lists[n].filter(i => !state.before[n].includes(i)).length;
      const moved = state.lists[n].some((item, i) => state.before[n][i] !== item);
      return `${label}: ${entered ? `${entered} of ${state.lists[n].length} are new` : moved ? "only the order changed" : "nothing changed"}`;
    });
  say(parts.join(". ") + (parts.length ? "." : ""));
}

let turn = 0;
async function update({ focus, keep } = {}) {
  const mine = ++turn;
  if (!keep) writeHash();
  showPicks(focus);
  try {
    const begin = performance.now(),
      lists = state.picks.length ? await place.lists(state.picks) : {};
    if (mine !== turn) return;
    state.ms = performance.now() - begin;
    const whole = Object.keys(state.lists).length && Object.keys(lists).length;
    state.before = whole && !keep ? state.lists : {};
    if (!STATIC) state.films = new Map([...(state.films || []), ...(place.rows || [])]);
    state.lists = lists;
    showLists();
    showTraining();
    if (!keep) tellChanges();
  } catch (e) {
    if (mine === turn) say(`No lists: ${e.message}`);
  }
  document.body.dataset.turn = turn;
}

// Training

let map;
function showTraining() {
  if (!STATIC) return;
  const about = place.about("ddpg"),
    n = place.steps[state.step];
  $("slider").value = state.step;
  [...$("steps").children].forEach((b, i) => b.classList.toggle("now", i === state.step));
  $("step-text").textContent = `After ${n.toLocaleString("en")} updates: ${about.distinct}${firstFilms(about)}.`;
  $("slider").setAttribute("aria-valuetext", `after ${n} updates: ${about.distinct} different first films`);
  showMap();
}

function showMap() {
  const model = state.map,
    about = place.about(model),
    list = state.lists[model] || [],
    [top, n] = about.first[0];
  map.show({
    model,
    picks: state.picks,
    list,
    others: about.first,
    users: about.users,
    path: model === "ddpg" && state.picks.length ? place.path : null,
    step: state.step,
  });
  $("map").setAttribute(
    "aria-label",
    `Map of the catalogue. The films that come first for ${about.users} people: ${about.distinct}; ${n} people get ${named(place.of(top))}.`,
  );
}

function toStep(step) {
  if (step === state.step) return;
  state.step = step;
  writeHash();
  if (place.snapshots && state.picks.length) {
    state.before = { ddpg: state.lists.ddpg };
    state.lists = { ...state.lists, ddpg: place.snapshots[step] };
  }
  showLists();
  showTraining();
}

let timer = null;
function play(on) {
  clearInterval(timer);
  timer = null;
  $("play").setAttribute("aria-pressed", on);
  $("play").replaceChildren(
    make("span", { "aria-hidden": "true", text: on ? "❚❚" : "▶" }),
    document.createTextNode(on ? " Pause" : " Play"),
  );
  if (!on) return;
  toStep(state.step === place.steps.length - 1 ? 0 : state.step + 1);
  timer = setInterval(() => (state.step === place.steps.length - 1 ? play(false) : toStep(state.step + 1)), 1100);
}

function setUpTraining() {
  const { manifest, catalogue, steps } = place,
    users = manifest.people.users;
  $("slider").max = steps.length - 1;
  $("slider").addEventListener("input", e => {
    play(false);
    toStep(+e.target.value);
  });
  $("play").addEventListener("click", () => play(!timer));
  const distinct = steps.map(n => manifest.models[`ddpg ${n}`].distinct),
    most = Math.max(...distinct);
  $("steps").replaceChildren(
    ...steps.map((n, i) => {
      const bar = make("i");
      bar.style.height = `${(3.6 * distinct[i]) / most}rem`;
      const button = make(
        "button",
        { type: "button", tabindex: "-1", title: `after ${n} updates` },
        make("span", { text: distinct[i] }),
        bar,
        make("small", { text: n }),
      );
      button.addEventListener("click", () => {
        play(false);
        toStep(i);
      });
      return button;
    }),
  );
  $("n-people").textContent = `${users} held-out`;
  map = new CatalogueMap($("map"), $("tip"), catalogue, i => named(place.of(i)));
  const legend = () =>
    $("legend").replaceChildren(
      ...[...catalogue.categories, "other"].map((text, i) => {
        const mark = make("i");
        mark.style.background = map.colours[i < catalogue.categories.length ? i : 9];
        return make("span", {}, mark, document.createTextNode(text));
      }),
    );
  map.dark.addEventListener("change", legend);
  legend();
  for (const input of document.querySelectorAll("[name=shown]"))
    input.addEventListener("change", () => {
      state.map = input.value;
      showMap();
    });
  $("examples").replaceChildren(
    ...manifest.examples.map(({ name, picks }) => {
      const button = make("button", { type: "button", text: name });
      button.addEventListener("click", () => start(picks));
      return button;
    }),
  );
  const day = `Models: recnn ${manifest.versions.recnn}, seed ${manifest.seed}, learnt from ${manifest.learnt_from} people of the ${manifest.source}. `;
  $("source").textContent =
    `${day}Data: MovieLens ml-latest-small by GroupLens, under its own terms (demo/data/NOTICE.txt). The agents run in ONNX Runtime Web.`;
}

function start(picks, keep) {
  state.picks = picks.map(([i, rating]) => ({ ...place.of(i), rating }));
  state.lists = {};
  return update({ keep });
}

// Search

let found = [],
  active = -1,
  asked = 0;
function showFound(text) {
  const list = $("found");
  list.replaceChildren(
    ...found.map((item, i) => {
      const li = make("li", {
        id: `found-${i}`,
        role: "option",
        "aria-selected": String(i === active),
        "data-id": item.id,
        text: named(item),
      });
      li.addEventListener("pointerdown", e => {
        e.preventDefault();
        choose(i);
      });
      return li;
    }),
  );
  if (!found.length && text)
    list.append(
      make("li", { className: "none", role: "option", "aria-selected": "false", text: "No title is like that." }),
    );
  list.hidden = !text;
  $("search").setAttribute("aria-expanded", String(!list.hidden));
  if (active >= 0) {
    $("search").setAttribute("aria-activedescendant", `found-${active}`);
    list.children[active].scrollIntoView({ block: "nearest" });
  } else $("search").removeAttribute("aria-activedescendant");
}

function close() {
  [found, active] = [[], -1];
  showFound("");
}

async function search() {
  const text = $("search").value.trim(),
    mine = ++asked;
  let items = [];
  try {
    items = text ? await place.find(text) : [];
  } catch (e) {
    say(e.message);
  }
  if (mine !== asked) return;
  [found, active] = [items, items.length ? 0 : -1];
  showFound(text);
}

function choose(i) {
  if (!found[i]) return;
  const item = found[i];
  $("search").value = "";
  asked++;
  close();
  add(item);
}

function setUpSearch() {
  const box = $("search");
  let wait;
  box.addEventListener("input", () => {
    clearTimeout(wait);
    wait = setTimeout(search, STATIC ? 0 : 120);
  });
  box.addEventListener("keydown", e => {
    if (e.key === "Enter") {
      e.preventDefault();
      choose(Math.max(active, 0));
    }
    if (e.key === "Escape") close();
    const by = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (!by || !found.length) return;
    e.preventDefault();
    active = (active + by + found.length) % found.length;
    showFound(box.value.trim());
  });
  box.addEventListener("blur", close);
  if (!STATIC) box.placeholder = "Search by title";
}

async function copyLink() {
  writeHash();
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied; it holds your ratings.");
  } catch {
    say(`Copy the address from the address bar: it holds your ratings.`);
  }
}

async function main() {
  await place.open();
  setUpSearch();
  $("copy").addEventListener("click", copyLink);
  $("clear").addEventListener("click", () => {
    state.picks = [];
    update();
    $("search").focus();
  });
  addEventListener("hashchange", load);
  if (STATIC) setUpTraining();
  if (location.hash.startsWith("#p=")) await load();
  else if (STATIC) {
    state.step = place.steps.length - 1;
    await start(place.manifest.examples[0].picks, true);
  } else await update({ keep: true });
  document.body.dataset.ready = "picks";
  performance.mark("picks");
  if (STATIC)
    try {
      place.agents = await Agents.load(place.manifest, fraction => {
        place.arrived = fraction;
        for (const bar of document.querySelectorAll("progress")) bar.value = fraction;
      });
      await update({ keep: true });
    } catch (e) {
      place.failed = e.message;
      showLists();
    }
  document.body.dataset.ready = place.failed ? "failed" : "all";
  performance.mark("all");
}

main().catch(e => say(`The page cannot start: ${e.message}`));
