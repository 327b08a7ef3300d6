// Every page that anyone may read: both themes, desktop and phone, and with JavaScript off.
import { PAGES } from "../lib/pages.mjs";

export const title = "the pages that anyone may read are quiet, accessible, fit a phone and need no JavaScript";

export async function run({ open, axe, check, expectTrouble, shot }) {
  // Chromium reports the status of a page that says what is wrong.
  expectTrouble(/Failed to load resource: the server responded with a status of 40[45]/);
  for (const dark of [false, true]) {
    for (const width of [1280, 390]) {
      const page = await open({ dark, width });
      const how = `${dark ? "dark" : "light"}-${width}`;
      for (const { name, path, says, status = 200 } of PAGES) {
        const response = await page.goto(path);
        check.equal(response.status(), status, `the status of ${path}`);
        check((await page.locator("main").innerText()).includes(says), `${path} says "${says}"`);
        await check.fits(page, `${path} at ${width} px`);
        await axe(page, `${path}, ${how}`);
        await shot(page, `${name}-${how}`);
      }
      await page.context().close();
    }
  }

  const reader = await open({ javascript: false });
  for (const { path, says } of PAGES) {
    await reader.goto(path);
    const text = await reader.locator("main").innerText();
    check(text.includes(says), `without JavaScript, ${path} says "${says}"`);
  }
}
