// The audit trail: downloaded from the page, verified offline, and refused once a digit of it is changed.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { converse } from "../lib/scenes.mjs";

export const title = "an audit trail is downloaded and proves itself offline";

const program = process.env.FREESIDE_BINARY ?? resolve(dirname(fileURLToPath(import.meta.url)), "../../../target/debug/freeside");

/** The exit code and the words of `freeside audit verify`. */
function verify(file, ...more) {
  return new Promise((done) => {
    execFile(program, ["audit", "verify", file, ...more], (error, out, err) => done({ code: error ? error.code : 0, said: out + err }));
  });
}

async function fetched(page, name, path) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name }).click()]);
  await file.saveAs(path);
  return readFileSync(path, "utf8");
}

export async function run({ api, open, signIn, check }) {
  await converse({ open, signIn });
  const folder = mkdtempSync(join(tmpdir(), "audit-"));
  try {
    const page = await open({ acceptDownloads: true });
    await signIn(page, 0);
    await page.goto("/admin/demo/ledger");
    const rows = await page.locator("tbody tr").count();
    const whole = join(folder, "whole.jsonl");
    const text = await fetched(page, "Audit file, JSONL", whole);
    check.equal(text.trim().split("\n").length, rows + 2, "an opening, the lines of the page, a closing");
    const keys = join(folder, "jwks.json");
    writeFileSync(keys, await (await api("/.well-known/jwks.json")).text());
    const sound = await verify(whole, "--jwks", keys);
    check.equal(sound.code, 0, `it is sound: ${sound.said}`);

    const changed = join(folder, "changed.jsonl");
    writeFileSync(changed, text.replace(/"amount_micro":"(\d)/, (_, digit) => `"amount_micro":"${(Number(digit) % 9) + 1}`));
    const broken = await verify(changed);
    check.equal(broken.code, 1, `a changed digit shows: ${broken.said}`);
    const shorter = join(folder, "shorter.jsonl");
    writeFileSync(shorter, text.trim().split("\n").toSpliced(-2, 1).join("\n") + "\n");
    check.equal((await verify(shorter)).code, 1, "a line less shows");

    // Narrowed: exactly what the page shows, unchained, and said so.
    await page.goto("/admin/demo/ledger?pool=cheap");
    const some = await page.locator("tbody tr").count();
    check(some > 0 && some < rows, `a pool is a part: ${some} of ${rows}`);
    const part = await fetched(page, "Audit file, JSONL", join(folder, "part.jsonl"));
    check.equal(part.trim().split("\n").length, some + 2, "the filtered lines and no other");
    check.equal(JSON.parse(part.split("\n")[0]).chained, false, "it says that it is unchained");
    check.equal((await verify(join(folder, "part.jsonl"))).code, 0, "and is sealed all the same");
    const csv = await fetched(page, "Spreadsheet, CSV", join(folder, "part.csv"));
    check.equal(csv.trim().split("\n").length, some + 1, "the spreadsheet has the same lines under its head");
  } finally {
    rmSync(folder, { recursive: true });
  }
}
