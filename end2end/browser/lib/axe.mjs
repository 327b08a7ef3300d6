// axe-core on a page or a frame: every rule, none disabled.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { check } from "./check.mjs";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Fails on any violation. `label` says in which state the page is. */
export async function axe(page, label) {
  // A fade that has not ended yet has colours that nobody chose.
  await page.evaluate(() => Promise.allSettled(document.getAnimations().filter((one) => one.effect?.getTiming().iterations !== Infinity).map((one) => one.finished)));
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(source);
  const violations = await page.evaluate(async () => {
    const { violations } = await window.axe.run({ resultTypes: ["violations"] });
    return violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map(({ html, failureSummary }) => `${html}\n      ${failureSummary.replaceAll("\n", "\n      ")}`) }));
  });
  if (violations.length === 0) return;
  const lines = violations.map(({ id, help, nodes }) => `  ${id}: ${help}\n    ${nodes.join("\n    ")}`);
  throw new Error(`axe finds fault with ${label} (${page.url()}):\n${lines.join("\n")}`);
}

/** The same in both themes, on a desktop and on a phone, where the page has to fit as well. It looks as before afterwards. */
axe.everywhere = async (page, label) => {
  const { width: before, height } = page.viewportSize();
  for (const colorScheme of ["light", "dark"]) {
    // Without fades: in a closed `details` they would stand still for ever, and never be over.
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height });
      const look = `${label}, ${colorScheme}, ${width} px`;
      await check.fits(page, look);
      await axe(page, look);
    }
  }
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
  await page.setViewportSize({ width: before, height });
};
