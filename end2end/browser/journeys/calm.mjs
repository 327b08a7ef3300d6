// For those who want less motion, or have a narrow window.
import { PAGES } from "../lib/pages.mjs";

export const title = "the pages keep still when asked to, and fit 320 px";

/** What moves, or would move. Runs in the page. */
function moving() {
  const found = [];
  for (const one of document.querySelectorAll("*")) {
    for (const part of [null, "::before", "::after"]) {
      const style = getComputedStyle(one, part);
      const isMoving = style.animationName !== "none" || style.transitionDuration.split(", ").some((time) => parseFloat(time) > 0.01);
      if (isMoving || (!part && style.scrollBehavior === "smooth")) found.push(`${one.localName}.${one.className}${part ?? ""}`);
    }
  }
  return found.concat(document.getAnimations().map((one) => one.animationName ?? one.transitionProperty));
}

export async function run({ open, check, expectTrouble }) {
  expectTrouble(/Failed to load resource: the server responded with a status of 40[45]/);
  const still = await open({ reducedMotion: "reduce" });
  for (const { path } of PAGES) {
    await still.goto(path);
    check.equal(await still.evaluate(moving), [], `what moves on ${path}`);
  }
  // The narrowest window that WCAG asks for: 1,280 px at 400 %.
  const narrow = await open({ width: 320 });
  for (const { path } of PAGES) {
    await narrow.goto(path);
    await check.fits(narrow, `${path} at 320 px`);
  }
}
