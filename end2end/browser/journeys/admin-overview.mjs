// A community's pages: empty, full, narrowed to nothing; both themes, desktop and phone; without JavaScript; for others.
import { TABS, read, signUp } from "../lib/admin.mjs";
import { converse } from "../lib/scenes.mjs";

export const title = "an administrator reads a community, and its totals are the ledger's";

async function look({ axe, check, shot, page, path, state, how }) {
  for (const tab of TABS) {
    await page.goto(path + tab);
    await check.fits(page, `${state}, ${path}${tab}, ${how}`);
    await axe(page, `${state}, ${path}${tab}, ${how}`);
    await shot(page, `${state}${tab.replace("/", "-")}-${how}`);
  }
}

const sum = (rows) => rows.reduce((all, row) => all + BigInt(row.cost_micro), 0n);

export async function run({ base, open, signIn, axe, check, expectTrouble, shot }) {
  const ways = [];
  for (const dark of [false, true]) {
    for (const width of [1280, 390]) ways.push({ page: await open({ dark, width }), how: `${dark ? "dark" : "light"}-${width}` });
  }
  for (const { page, how } of ways) {
    await page.goto("/admin/demo/routing?pool=cheap");
    await axe(page, `signed out, ${how}`);
    check.equal(await page.getByRole("link", { name: "Sign in with a wallet" }).getAttribute("href"), "/signin?return=%2Fadmin%2Fdemo%2Frouting%3Fpool%3Dcheap", "the way in and back");
    await signIn(page, 0);
  }

  // Empty: a community that was just signed up.
  const [{ page }] = ways;
  const own = await signUp(page, base);
  for (const way of ways) await look({ axe, check, shot, ...way, path: own.path, state: "empty" });
  await page.goto(own.path);
  check((await page.locator("main").innerText()).includes("Nothing was charged in these days"), "an empty community says so");

  // Full, and the totals are the ledger's.
  await converse({ open, signIn });
  for (const way of ways) await look({ axe, check, shot, ...way, path: "/admin/demo", state: "full" });
  await page.goto("/admin");
  await axe.everywhere(page, "the list");
  await page.getByRole("link", { name: "The Lantern Street demo" }).click();
  await page.waitForURL("**/admin/demo");
  const from = await page.locator("#from").inputValue();
  const total = BigInt(await page.locator("[data-total]").getAttribute("data-total"));
  await page.goto(`/admin/demo/ledger?from=${from}`);
  const file = await page.getByRole("link", { name: "Audit file, JSONL" }).getAttribute("href");
  const community = file.match(/community\/(\d+)\//)[1];
  const usage = await read(page, `/api/v1/admin/community/${community}/usage?from=${from}`);
  check(total > 0n, "something was charged");
  check.equal(total, BigInt(usage.total.cost_micro), "the page's total is the API's");
  check.equal(sum(Object.values(usage.by_pool)), total, "pools add up to it");
  check.equal(sum(usage.by_user), total, "users add up to it");
  const lines = (await (await page.context().request.get(file)).text()).trim().split("\n").map((line) => JSON.parse(line));
  const charged = lines.filter(({ operation_type }) => /settle/.test(operation_type ?? ""));
  check.equal(charged.reduce((all, { amount_micro }) => all + BigInt(amount_micro), 0n), total, "the audit trail's charges add up to it");

  // The reason of a decision stands in words, and a filter in the address.
  await page.goto("/admin/demo/routing");
  check((await page.locator("main").innerText()).includes("favourite of the allowed pools"), "a reason in words");
  await page.locator("#pool").selectOption("cheap");
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL(/pool=cheap/);
  check.equal(await page.locator("#pool").inputValue(), "cheap", "the filter is kept");
  await page.goto("/admin/demo?from=2020-01-01&to=2020-01-02");
  await axe.everywhere(page, "narrowed to nothing");
  await page.goto("/admin/demo?from=yesterday");
  await axe.everywhere(page, "a filter that cannot be right");
  check((await page.getByRole("alert").innerText()).includes("The filter was left out in part"), "a wrong filter is told");

  // Nobody else's, and all of it reads without JavaScript.
  const still = await open({ javascript: false });
  await signIn(still, 0);
  for (const tab of TABS) {
    const reply = await still.goto(`/admin/demo${tab}`);
    check.equal(reply.status(), 200, `${tab} without JavaScript`);
  }
  expectTrouble(/Failed to load resource: the server responded with a status of 404/);
  const stranger = await open();
  await signIn(stranger, 1);
  for (const tab of TABS) {
    const reply = await stranger.goto(own.path + tab);
    check.equal(reply.status(), 404, `${tab} of somebody else's community`);
  }
  await axe.everywhere(stranger, "refused");
}
