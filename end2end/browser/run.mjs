// Journeys through a started server's pages, in a real browser.
//   node run.mjs --base URL [NAME…] [--only NAME…] [--simulator URL] [--screenshots DIR] [--failures DIR] [--list]
// Without names: all. A journey that fails leaves a picture and the HTML of its pages. The exit code is the truth.
import { mkdirSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { caller } from "./lib/api.mjs";
import { axe } from "./lib/axe.mjs";
import { check } from "./lib/check.mjs";
import { launch } from "./lib/chromium.mjs";
import { visitor } from "./lib/open.mjs";
import { signer } from "./lib/session.mjs";

/** No journey needs as long, on whatever machine: past it, it hangs. */
const LIMIT_MS = 8 * 60_000;

const here = dirname(fileURLToPath(import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    base: { type: "string" },
    // Where its payment simulator listens.
    simulator: { type: "string", default: "http://127.0.0.1:3002" },
    only: { type: "string", multiple: true, default: [] },
    screenshots: { type: "string" },
    failures: { type: "string", default: join(here, "../../target/browser") },
    list: { type: "boolean", default: false },
  },
});

const all = readdirSync(join(here, "journeys")).filter((file) => file.endsWith(".mjs")).map((file) => file.slice(0, -4)).sort();
if (values.list) {
  console.log(all.join("\n"));
  process.exit(0);
}
const names = [...values.only, ...positionals];
const unknown = names.filter((name) => !all.includes(name));
if (unknown.length > 0 || !values.base) {
  console.error(unknown.length > 0 ? `no journey ${unknown.join(", ")}; there are: ${all.join(", ")}` : "which server? --base http://127.0.0.1:3000");
  process.exit(2);
}

/** `true` when it went well. */
async function go(name) {
  const journey = await import(`./journeys/${name}.mjs`);
  const began = performance.now();
  // `export const flags`: for what only a browser started that way does.
  const browser = await launch(journey.flags);
  const { open, expectTrouble, faults, keep, close } = visitor({ browser, base: values.base });
  const shot = async (page, part) => {
    if (!values.screenshots) return;
    mkdirSync(values.screenshots, { recursive: true });
    await page.screenshot({ path: join(values.screenshots, `${name}-${part}.png`), fullPage: true });
  };
  let error;
  let timer;
  try {
    const limit = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not at its end after ${LIMIT_MS / 1000} s`)), LIMIT_MS)));
    const { base, simulator } = values;
    const helpers = { base, simulator, browser, open, axe, check, api: caller(base), signIn: signer(base), expectTrouble, shot };
    // The operator's token, for journeys that need somebody to do what an operator does.
    const operator = process.env.FREESIDE_OPERATOR_TOKEN;
    await Promise.race([journey.run({ ...helpers, operator }), limit]);
  } catch (caught) {
    error = caught;
  }
  clearTimeout(timer);
  const isGood = !error && faults.length === 0;
  const took = `${((performance.now() - began) / 1000).toFixed(1)} s`;
  if (isGood) {
    console.log(`ok    ${name}: ${journey.title} (${took})`);
  } else {
    console.log(`FAIL  ${name}: ${journey.title} (${took})`);
    if (error) console.log(`  ${error.stack ?? error}`);
    if (faults.length > 0) console.log(`  the browser complained:\n${faults.map((fault) => `    ${fault}`).join("\n")}`);
    for (const line of await keep(resolve(values.failures), name)) console.log(`  kept ${line}`);
  }
  await close().catch(() => {});
  await browser.close();
  return isGood;
}

let failed = 0;
for (const name of names.length > 0 ? names : all) failed += (await go(name)) ? 0 : 1;
process.exit(failed > 0 ? 1 : 0);
