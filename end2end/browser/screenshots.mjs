// Pictures of the pages of a started server: each scene in both themes, on a desktop and on a phone.
//   node screenshots.mjs --base URL --out DIR [NAME…]
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { caller } from "./lib/api.mjs";
import { launch } from "./lib/chromium.mjs";
import { visitor } from "./lib/open.mjs";
import { SCENES, furnish } from "./lib/scenes.mjs";
import { signer } from "./lib/session.mjs";

/** Of a picture: what is below is more of the same. */
const TALLEST = { 1280: 1_400, 390: 1_500 };
/** Of WebP: letters stay sharp, and all pictures fit into the repository. */
const QUALITY = 55;
/** All of them together, in bytes. */
const FOLDER_AT_MOST = 3_000_000;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { base: { type: "string" }, out: { type: "string" } } });
if (!values.base || !values.out) {
  console.error("node screenshots.mjs --base http://127.0.0.1:3000 --out docs/screenshots");
  process.exit(2);
}
const { base, out } = values;

/** The page as WebP. */
async function picture(page, width) {
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  const session = await page.context().newCDPSession(page);
  const clip = { x: 0, y: 0, width, height: Math.min(Math.max(height, 600), TALLEST[width]), scale: 1 };
  const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: QUALITY, captureBeyondViewport: true, clip });
  return Buffer.from(data, "base64");
}

const browser = await launch();
const { open, expectTrouble, faults, close } = visitor({ browser, base });
expectTrouble(/Failed to load resource: the server responded with a status of 40[45]/);
const signIn = signer(base);
const world = { base, open, signIn, api: caller(base) };
const made = await furnish(world);
mkdirSync(out, { recursive: true });
let bytes = 0;
for (const { name, path, wallet = null, signedIn = wallet !== null, status = 200, prepare } of SCENES) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  for (const width of [1280, 390]) {
    const page = await open({ width, wallet, isMobile: width < 600, deviceScaleFactor: 1, reducedMotion: "reduce" });
    if (signedIn) await signIn(page, [wallet].flat()[0]);
    for (const dark of [false, true]) {
      await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
      const response = await page.goto(typeof path === "function" ? path(made) : path);
      if (response.status() !== status) throw new Error(`${response.url()} answers ${response.status()}, and it should be ${status}`);
      await prepare?.(page, { ...world, ...made });
      await page.evaluate(() => document.fonts.ready);
      const file = join(out, `${name}-${dark ? "dark" : "light"}-${width}.webp`);
      writeFileSync(file, await picture(page, width));
      bytes += statSync(file).size;
    }
    await page.context().close();
  }
  console.log(`${name}: ${Math.round(bytes / 1000)} KB so far`);
}
await close();
await browser.close();
if (faults.length > 0) console.log(faults.join("\n"));
if (bytes > FOLDER_AT_MOST) console.log(`${bytes} bytes are more than ${FOLDER_AT_MOST}`);
process.exit(faults.length > 0 || bytes > FOLDER_AT_MOST ? 1 : 0);
