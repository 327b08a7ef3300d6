// Without a mouse: everything that can be used is reached by Tab, is seen when it is reached, and works by Enter.
import { PAGES } from "../lib/pages.mjs";

export const title = "the pages work by keyboard alone";

/** More stops than any page has: past it, Tab goes round in a trap. */
const STOPS_AT_MOST = 600;

/** What a person would want to reach, as a mark on each. Runs in the page. */
function mark() {
  const wanted = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  const usable = [...document.querySelectorAll(wanted)].filter((one) => !one.disabled && one.tabIndex >= 0 && one.checkVisibility({ visibilityProperty: true }));
  // Of a group of radio buttons, Tab reaches the chosen one, or the first.
  const ofGroup = ({ name, form }) => usable.filter((one) => one.type === "radio" && one.name === name && one.form === form);
  const reached = usable.filter((one) => one.type !== "radio" || one === (ofGroup(one).find(({ checked }) => checked) ?? ofGroup(one)[0]));
  reached.forEach((one, at) => (one.dataset.wanted = at));
  return reached.map((one) => `${one.localName} "${(one.textContent || one.name || "").trim().slice(0, 40)}"`);
}

/** Where the focus is, and whether a person sees it. Runs in the page. */
function focused() {
  const one = document.activeElement;
  if (!one || one === document.body || one === document.documentElement) return null;
  const box = one.getBoundingClientRect();
  const isThere = box.bottom > 0 && box.top < innerHeight && box.width > 0 && box.height > 0;
  // A link that is a whole card has its ring around the card.
  const hasRing = [null, "::before", "::after"].some((part) => {
    const style = getComputedStyle(one, part);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2) || style.boxShadow !== "none";
  });
  // The button in a date's field is the browser's own, ring and all: the field itself has no focus then.
  const isInside = !one.matches(":focus");
  return { wanted: one.dataset.wanted, what: one.outerHTML.slice(0, 120), isSeen: (hasRing || isInside) && isThere };
}

/** Goes through the page by Tab; fails on what is not reached or not seen. */
async function walk(page, check, path) {
  const wanted = await page.evaluate(mark);
  const reached = new Set();
  let last;
  for (let stops = 0; ; stops += 1) {
    check(stops < STOPS_AT_MOST, `${path}: Tab comes to an end`);
    await page.keyboard.press("Tab");
    const at = await page.evaluate(focused);
    // A date has a stop for each of its parts; whatever else comes again, comes after the last one.
    if (at === null || (reached.has(at.wanted) && at.wanted !== last)) break;
    check(at.isSeen, `${path}: the focus is seen on ${at.what}`);
    // What scrolls is reached too, and nobody asked for it.
    if (at.wanted !== undefined) reached.add((last = at.wanted));
  }
  const missed = wanted.filter((_, at) => !reached.has(String(at)));
  check.equal(missed, [], `${path}: what Tab does not reach`);
}

export async function run({ open, check, expectTrouble }) {
  expectTrouble(/Failed to load resource: the server responded with a status of 40[45]/);
  for (const dark of [false, true]) {
    // The page follows the focus at once, so that each stop can be looked at.
    const page = await open({ dark, reducedMotion: "reduce" });
    for (const { path } of PAGES) {
      // What a page fills by its module is there before the walk begins.
      await page.goto(path, { waitUntil: "networkidle" });
      await walk(page, check, path);
    }
    await page.context().close();
  }

  const page = await open();
  await page.goto("/docs");
  await page.keyboard.press("Tab");
  check.equal(await page.evaluate(() => document.activeElement.className), "skip", "the first stop leads to the content");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.id === "main");

  const dark = page.getByRole("button", { name: "Dark" });
  await dark.focus();
  await page.keyboard.press("Enter");
  await page.locator("html[data-theme=dark]").waitFor();
  check(page.url().endsWith("/docs"), `the choice of colours leads back: ${page.url()}`);
}
