// Lighthouse on pages of a started server, as on a phone: one line of JSON for each page, on stdout.
//   node run.mjs --base URL PATH…
// A line: {"path":"/","performance":99,"accessibility":100,"best_practices":100,"seo":100,"lacks":["what is not full"]}
import { parseArgs } from "node:util";
import { launch } from "chrome-launcher";
import lighthouse from "lighthouse";
import { program } from "../browser/lib/program.mjs";

const CATEGORIES = ["performance", "accessibility", "best-practices", "seo"];

const { values, positionals } = parseArgs({ allowPositionals: true, options: { base: { type: "string" } } });
if (!values.base || positionals.length === 0) {
  console.error("node run.mjs --base http://127.0.0.1:3000 / /docs");
  process.exit(2);
}

const sandbox = process.getuid() === 0 ? ["--no-sandbox"] : []; // it refuses to work for root
const flags = ["--headless", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-dev-shm-usage", "--no-first-run", ...sandbox];
const chrome = await launch({ chromePath: program(), chromeFlags: flags });

/** What took points, worst first. */
function lacking({ categories, audits }) {
  const parts = Object.values(categories).flatMap(({ id, auditRefs }) => auditRefs.map(({ id: audit, weight }) => ({ category: id, weight, ...audits[audit] })));
  return parts
    .filter(({ weight, score }) => weight > 0 && score !== null && score < 1)
    .sort((one, other) => one.score - other.score)
    .map(({ category, id, score, displayValue }) => `${category}: ${id} ${score}${displayValue ? ` (${displayValue})` : ""}`);
}

for (const path of positionals) {
  const url = new URL(path, values.base).href;
  const { lhr } = await lighthouse(url, { port: chrome.port, logLevel: "error", onlyCategories: CATEGORIES });
  if (lhr.runtimeError) throw new Error(`${url}: ${lhr.runtimeError.message}`);
  const scores = Object.fromEntries(CATEGORIES.map((name) => [name.replace("-", "_"), Math.round((lhr.categories[name].score ?? 0) * 100)]));
  console.log(JSON.stringify({ path, ...scores, lacks: lacking(lhr) }));
}
chrome.kill();
