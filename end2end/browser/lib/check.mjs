// What a journey asserts with.
import { isDeepStrictEqual } from "node:util";

/** Fails unless `condition` holds; `text` says what should be. */
export function check(condition, text) {
  if (!condition) throw new Error(`not so: ${text}`);
}

/** Fails unless both are the same, and shows them. */
check.equal = (seen, wanted, text) => {
  if (!isDeepStrictEqual(seen, wanted)) throw new Error(`${text}: ${JSON.stringify(seen)}, and it should be ${JSON.stringify(wanted)}`);
};

/** Fails when the page can be scrolled sideways. On a phone `innerWidth` grows with what does not fit: it cannot tell. */
check.fits = async (page, text) => {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  const room = page.viewportSize().width;
  check(wide <= room, `${text} fits: it is ${wide} px wide in ${room}`);
};
