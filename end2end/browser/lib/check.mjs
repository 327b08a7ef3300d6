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

/** Fails when the page can be scrolled sideways. */
check.fits = async (page, text) => {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  check(wide <= room, `${text} fits: it is ${wide} px wide in ${room}`);
};
