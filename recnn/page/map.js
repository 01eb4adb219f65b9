// The map of the catalogue on a canvas.

const LIGHT = [
  "#8d96a8",
  "#e09a1f",
  "#7b61d9",
  "#e0569a",
  "#d14b3d",
  "#2f9e6b",
  "#93623a",
  "#5b2a6d",
  "#2d93c9",
  "#c9cdd6",
];
const DARK = [
  "#6d7689",
  "#f0b44b",
  "#9d8bf0",
  "#f07fb5",
  "#ff7a6b",
  "#54c894",
  "#c1925f",
  "#c37fe0",
  "#5fb8ea",
  "#3d4453",
];

export class CatalogueMap {
  constructor(canvas, tip, catalogue, name) {
    Object.assign(this, { canvas, tip, catalogue, name, state: null, size: 0 });
    const most = 2000; // dots; the places of other items are less exact
    const least = [...catalogue.ratings].sort((a, b) => b - a)[Math.min(most, catalogue.x.length) - 1];
    this.dots = catalogue.x.map((_, i) => i).filter(i => catalogue.ratings[i] >= least);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointermove", e => this.point(e));
    canvas.addEventListener("pointerdown", e => this.point(e));
    canvas.addEventListener("pointerleave", () => {
      tip.hidden = true;
    });
  }

  get isDark() {
    const theme = document.documentElement.dataset.theme;
    return theme ? theme === "dark" : this.dark.matches;
  }
  get colours() {
    return this.isDark ? DARK : LIGHT;
  }
  colour(kind) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${kind}`).trim();
  }
  place(i) {
    return this.at([this.catalogue.x[i], this.catalogue.y[i]]);
  }
  at([x, y]) {
    return [16 + (x / 1000) * (this.size - 32), 16 + (1 - y / 1000) * (this.size - 32)];
  }

  // model; picks [{item}], list [items] of the model, path [items] of the points of all snapshots and the step,
  // others [[item, people]] that get an item first, users: how many people there are
  show(state) {
    this.state = state;
    this.draw();
  }

  base() {
    // all dots, drawn once for a size and a scheme
    const key = `${this.size} ${devicePixelRatio} ${this.isDark}`,
      c = this.catalogue;
    if (this.drawn === key) return this.image;
    const image = (this.image = document.createElement("canvas")),
      scale = this.size / 420;
    image.width = image.height = Math.round(this.size * devicePixelRatio);
    const g = image.getContext("2d");
    g.scale(devicePixelRatio, devicePixelRatio);
    g.globalAlpha = 0.7;
    for (const i of this.dots) {
      g.fillStyle = this.colours[c.main[i] < 0 ? 9 : c.main[i]];
      g.beginPath();
      g.arc(...this.place(i), scale * (0.9 + Math.sqrt(c.ratings[i]) / 5), 0, 7);
      g.fill();
    }
    this.drawn = key;
    return image;
  }

  draw() {
    this.size = this.canvas.clientWidth;
    if (!this.size) return;
    const side = Math.round(this.size * devicePixelRatio);
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    const g = this.canvas.getContext("2d");
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.clearRect(0, 0, side, side);
    g.drawImage(this.base(), 0, 0, side, side);
    g.scale(devicePixelRatio, devicePixelRatio);
    this.marks = [];
    if (!this.state) return;
    const tone = this.colour(this.state.model),
      card = this.colour("card"),
      ink = this.colour("ink");
    this.drawOthers(g, tone);
    this.drawList(g, tone, card);
    for (const { item } of this.state.picks) this.star(g, this.place(item), ink, card, item);
    if (this.state.path) this.drawPath(g, tone, card);
    this.drawLabel(g, ink, card);
  }

  drawOthers(g, tone) {
    // a bubble for each item that somebody gets first; its area is the number of people
    const { others, users } = this.state;
    for (const [item, n] of others) {
      const [x, y] = this.place(item),
        r = (Math.sqrt(n / users) * this.size) / 7;
      g.beginPath();
      g.arc(x, y, r, 0, 7);
      g.globalAlpha = 0.25;
      g.fillStyle = tone;
      g.fill();
      g.globalAlpha = 1;
      g.lineWidth = 1.4;
      g.strokeStyle = tone;
      g.stroke();
      this.marks.push([x, y, `first for ${n} of ${users} people`, item, r]);
    }
  }

  drawList(g, tone, card) {
    this.state.list.forEach((item, rank) => {
      const [x, y] = this.place(item);
      g.beginPath();
      g.arc(x, y, 4.5, 0, 7);
      g.fillStyle = tone;
      g.fill();
      g.lineWidth = 1.5;
      g.strokeStyle = card;
      g.stroke();
      this.marks.push([x, y, `number ${rank + 1} for you`, item, 8]);
    });
  }

  drawPath(g, tone, card) {
    const { path, step } = this.state,
      points = path.slice(0, step + 1).map(i => this.place(i));
    g.lineJoin = "round";
    for (const [width, style] of [
      [5, card],
      [2, tone],
    ]) {
      g.lineWidth = width;
      g.strokeStyle = style;
      g.beginPath();
      points.forEach(([x, y], i) => (i ? g.lineTo(x, y) : g.moveTo(x, y)));
      g.stroke();
    }
    points.forEach(([x, y], i) => {
      const r = i === step ? 10 : 3.5;
      g.beginPath();
      g.moveTo(x, y - r);
      for (const [dx, dy] of [
        [r, 0],
        [0, r],
        [-r, 0],
      ])
        g.lineTo(x + dx, y + dy);
      g.closePath();
      g.fillStyle = tone;
      g.fill();
      g.lineWidth = i === step ? 2.5 : 1;
      g.strokeStyle = card;
      g.stroke();
    });
  }

  drawLabel(g, ink, card) {
    // of the item that most people get first
    const { others, users } = this.state,
      [item, n] = others[0] || [];
    if (!(n > 0.15 * users)) return;
    const [x, y] = this.place(item),
      r = (Math.sqrt(n / users) * this.size) / 7,
      text = `${this.name(item)}: ${n} of ${users}`;
    g.font = `600 ${this.size < 340 ? 12 : 13}px system-ui, sans-serif`;
    const width = g.measureText(text).width,
      at = Math.max(6, Math.min(x - width / 2, this.size - width - 6));
    const below = y + r + 18 < this.size ? y + r + 15 : y - r - 7;
    g.lineJoin = "round";
    g.lineWidth = 4;
    g.strokeStyle = card;
    g.strokeText(text, at, below);
    g.fillStyle = ink;
    g.fillText(text, at, below);
  }

  star(g, [x, y], fill, edge, item) {
    g.beginPath();
    for (let k = 0; k < 10; k++) {
      const r = k % 2 ? 3.6 : 8.5,
        a = Math.PI * (k / 5 - 0.5);
      g.lineTo(x + r * Math.cos(a), y + r * Math.sin(a));
    }
    g.closePath();
    g.lineWidth = 2.5;
    g.strokeStyle = edge;
    g.stroke();
    g.fillStyle = fill;
    g.fill();
    this.marks.push([x, y, "your pick", item, 10]);
  }

  point(e) {
    const box = this.canvas.getBoundingClientRect(),
      x = e.clientX - box.left,
      y = e.clientY - box.top;
    let near = null,
      least = Infinity;
    for (const [mx, my, about, i, r] of this.marks || []) {
      const d = Math.hypot(mx - x, my - y);
      if (d < Math.max(r, 8) && d + r < least) [least, near] = [d + r, [i, about]];
    }
    for (const i of near ? [] : this.dots) {
      const [px, py] = this.place(i),
        d = Math.hypot(px - x, py - y);
      if (d < Math.min(least, 10)) [least, near] = [d, [i, ""]];
    }
    this.tip.hidden = !near;
    if (!near) return;
    this.tip.textContent = this.name(near[0]) + (near[1] ? ` – ${near[1]}` : "");
    const width = this.tip.offsetWidth,
      height = this.tip.offsetHeight;
    this.tip.style.left = `${Math.max(4, Math.min(x + 12, this.size - width - 4))}px`;
    this.tip.style.top = `${y + 16 + height < this.size ? y + 16 : y - height - 12}px`;
  }
}
