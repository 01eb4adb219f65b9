// What tools/browser.py asks a page in the browser; the script runs in each page before its own.

const t = (window.t = {
  all: query => [...document.querySelectorAll(query)],
  texts: query => t.all(query).map(node => node.textContent),
  ready: () => document.body?.dataset.ready === "all",
  turn: () => Number(document.body.dataset.turn || 0), // counts the lists that were shown
  picks: () => t.all("#picks > li").map(li => [li.dataset.id, li.querySelector(".title").textContent]),
  ids: () => t.all("[data-model] ol > li").map(li => Number(li.dataset.id)),
  lists: () =>
    Object.fromEntries(
      t
        .all("[data-model]")
        .map(section => [
          section.dataset.model,
          [...section.querySelectorAll("ol > li .title")].map(node => node.textContent),
        ]),
    ),
  wide: () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  click: (query, text) =>
    t
      .all(query)
      .find(node => text === undefined || node.textContent === text)
      .click(),
  focus: query => document.querySelector(query).focus(),
  empty: () => {
    // the search box, and the titles found before
    const box = document.getElementById("search");
    box.value = "";
    box.blur();
    box.focus();
  },
  press: text =>
    t
      .all("#found li")
      .find(li => li.textContent === text)
      .dispatchEvent(new PointerEvent("pointerdown", { cancelable: true })),
  slide: step => {
    const slider = document.getElementById("slider");
    slider.value = step;
    slider.dispatchEvent(new Event("input"));
  },
  flips: async n => {
    // milliseconds from a flipped rating to its lists
    const times = [];
    for (let k = 0; k < n; k++) {
      const begin = performance.now(),
        turn = t.turn();
      t.click("#picks .flip");
      while (t.turn() === turn) await new Promise(done => setTimeout(done));
      times.push(performance.now() - begin);
    }
    return times.sort((a, b) => a - b);
  },
  marks: () => Object.fromEntries(performance.getEntriesByType("mark").map(m => [m.name, m.startTime])),
});
