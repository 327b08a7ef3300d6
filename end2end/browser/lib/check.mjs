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

/**
 * Fails when the page, or a frame of one, can be scrolled sideways. On a phone a page's `innerWidth` grows with what does
 * not fit and cannot tell: its screen can.
 */
check.fits = async (page, text) => {
  const [wide, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  const room = page.viewportSize?.()?.width ?? inner;
  check(wide <= room, `${text} fits: it is ${wide} px wide in ${room}`);
};
