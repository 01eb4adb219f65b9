// Checks of the built site in Chromium; tools/site_check.py serves docs/ and starts this.
//   node tools/site_check.mjs BASE CHROMIUM TASK PAGE...     TASK: browser or lighthouse
import lighthouse from "lighthouse";
import puppeteer from "puppeteer-core";

const [base, chromium, task, ...pages] = process.argv.slice(2);
const LEAST = 95; // score of accessibility
// Words of a visitor, and the pages that may come first for them
const QUESTIONS = {"cold start": /^(use|learn|tutorials|index)/, implicit: /^(use|tutorials|index|data)/, install: /^(use|index)/};
const problems = [];
const report = line => { problems.push(line); console.log("  " + line); };
const browser = await puppeteer.launch({executablePath: chromium, args: ["--no-sandbox", "--disable-dev-shm-usage"]});

const open = async (path, {width = 1300, dark = false} = {}) => {
  const page = await browser.newPage();
  await page.setViewport({width, height: 900, isMobile: width < 600, hasTouch: width < 600});
  await page.emulateMediaFeatures([{name: "prefers-color-scheme", value: dark ? "dark" : "light"}]);
  page.on("pageerror", error => report(`${path}: ${error.message}`));
  page.on("requestfailed", request => report(`${path}: ${request.url()} failed`));
  page.on("response", r => { if (r.status() >= 400 && r.url() !== base + path) report(`${path}: ${r.url()} gives ${r.status()}`); });
  await page.goto(base + path, {waitUntil: "load"});
  return page;
};

// The page must not scroll sideways, and 110 columns of code fit on a screen of 1300 px
const widths = async path => {
  for (const width of [400, 1300]) {
    const page = await open(path, {width});
    const found = await page.evaluate(wide => {
      const limit = document.documentElement.clientWidth, out = [];
      // What is wider than the screen lies in a box that scrolls (or is fixed, such as the closed menu)
      const inside = e => { for (let p = e; p !== document.body; p = p.parentElement) {
        const {overflowX, position} = getComputedStyle(p);
        if ((p !== e && ["auto", "scroll", "hidden"].includes(overflowX)) || position === "fixed") return true; } };
      const cut = [...document.querySelectorAll("body *")].filter(e => {
        const box = e.getBoundingClientRect();
        return box.width && box.height && (box.right > limit + 1 || (box.left < -1 && box.right > 0)) && !inside(e); });
      if (cut.length) out.push(`cut: ${cut.slice(0, 3).map(e => e.outerHTML.slice(0, 80)).join(" | ")}`);
      const across = document.documentElement.scrollWidth;
      if (across > innerWidth) out.push(`the page is ${across} px wide`);
      const code = wide ? [...document.querySelectorAll("div.sourceCode")].filter(e => e.scrollWidth > e.clientWidth + 1) : [];
      const widest = Math.max(0, ...code.map(e => Math.max(...e.innerText.split("\n").map(line => line.length))));
      if (code.length) out.push(`${code.length} blocks of code scroll, of ${widest} columns`);
      return out;
    }, width === 1300);
    found.forEach(line => report(`${path} at ${width} px: ${line}`));
    await page.close();
  }
};

// The search box leads from a visitor's words to a page for visitors
const search = async () => {
  for (const [words, wanted] of Object.entries(QUESTIONS)) {
    const page = await open("index.html");
    await page.type(".site-search input", words);
    await page.waitForSelector(".search-results:not([hidden]) a", {timeout: 5000}).catch(() => 0);
    const found = await page.$$eval(".search-results a", all => all.map(a => a.getAttribute("href")));
    console.log(`  ${words}: ${found.slice(0, 3).join(", ") || "nothing"}`);
    const first = (found[0] || "").replace(/^\.\//, "");
    if (!wanted.test(first)) report(`the search for "${words}" leads first to ${first || "nothing"}`);
    if (first) {
      await Promise.all([page.waitForFunction(start => location.href !== start, {timeout: 5000}, page.url()).catch(() => 0), page.keyboard.press("Enter")]);
      if (!page.url().endsWith(first)) report(`Enter in the search for "${words}" stays at ${page.url()}`);
    }
    await page.close();
  }
};

// The system chooses light or dark, the toggle overrules it, and the next page remembers
const theme = async () => {
  const shown = page => page.evaluate(() => document.documentElement.dataset.bsTheme);
  for (const dark of [false, true]) {
    const page = await open("index.html", {dark}), [first, second] = dark ? ["dark", "light"] : ["light", "dark"];
    if (await shown(page) !== first) report(`the system asks for ${first}, the page is ${await shown(page)}`);
    await page.click(".theme-toggle");
    if (await shown(page) !== second) report("the toggle does not change the theme");
    await page.goto(base + "io.html");
    if (await shown(page) !== second) report("the next page forgets the theme");
    await page.evaluate(() => localStorage.clear());
    await page.close();
  }
};

// An address that does not exist shows the page for it, whole, from any depth
const missing = async () => {
  const page = await open("agents/deep/no_such_page.html");
  const doors = await page.$$eval("a.door", all => all.map(a => a.href));
  if (doors.length !== 3) report(`the page for a missing address has ${doors.length} doors`);
  for (const url of doors) if (!(await page.evaluate(u => fetch(u).then(r => r.ok), url))) report(`${url} does not exist`);
  if (!await page.evaluate(() => document.querySelector(".site-search input")?.value)) report("a missing address fills no search");
  await page.close();
};

// Accessibility by Lighthouse: light on a desktop, dark on a phone
const score = async path => {
  for (const dark of [false, true]) {
    const page = await browser.newPage();
    const screen = dark ? {mobile: true, width: 400, height: 800, deviceScaleFactor: 2, disabled: false}
      : {mobile: false, width: 1300, height: 900, deviceScaleFactor: 1, disabled: false};
    await page.emulateMediaFeatures([{name: "prefers-color-scheme", value: dark ? "dark" : "light"}]);
    await page.goto(base + path);
    await page.evaluate(name => localStorage.setItem("recnn-theme", name), dark ? "dark" : "light");
    const flags = {onlyCategories: ["accessibility"], throttlingMethod: "provided", disableStorageReset: true, logLevel: "error",
      disableFullPageScreenshot: true, formFactor: dark ? "mobile" : "desktop", screenEmulation: screen};
    const {lhr} = await lighthouse(base + path, flags, undefined, page);
    const points = Math.round(100*lhr.categories.accessibility.score);
    console.log(`  ${String(points).padStart(3)}  ${path}  ${dark ? "dark, phone" : "light, desktop"}`);
    if (points < LEAST || lhr.runtimeError) report(`${path}: accessibility ${points}, at least ${LEAST} wanted`);
    for (const audit of Object.values(lhr.audits)) if (audit.score === 0 && audit.scoreDisplayMode === "binary") {
      console.log(`       ${audit.id}: ${audit.title}`);
      for (const item of (audit.details?.items || []).slice(0, 3)) console.log(`         ${item.node?.snippet || ""}`);
    }
    await page.evaluate(() => localStorage.clear());
    await page.close();
  }
};

const run = async (title, check) => { console.log(title); await check(); };
try {
  if (task === "browser") {
    await run("search", search);
    await run("light and dark", theme);
    await run("a missing page", missing);
    await run(`widths of ${pages.length} pages`, async () => { for (const page of pages) await widths(page); });
  } else await run("accessibility", async () => { for (const page of pages) await score(page); });
} finally { await browser.close(); }
console.log(problems.length ? `${problems.length} problems` : "no problems");
process.exit(problems.length ? 1 : 0);
