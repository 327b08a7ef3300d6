// The account of a wallet: usage, requests, keys made, rotated and revoked.
import { inEachLook } from "../lib/looks.mjs";

export const title = "a wallet makes, rotates and revokes keys and reads what its requests cost";

export async function run({ open, axe, check, api, signIn, expectTrouble, shot }) {
  expectTrouble(/Failed to load resource: the server responded with a status of 40[0-9]/);
  const ask = async (key) => (await api("/v1/chat/completions", { key, json: { model: "cheap", messages: [{ role: "user", content: "Hello!" }] } })).status;
  const page = await open({ wallet: 0 });
  await page.goto("/developers/account");
  await page.getByRole("link", { name: "Sign in with a wallet" }).waitFor();
  await axe.everywhere(page, "the account of nobody");
  await signIn(page, 0);
  await page.goto("/developers/account");
  await page.getByText("has not signed up as a developer").waitFor();
  await page.getByRole("link", { name: "Make my key" }).click();
  await page.getByLabel("What shall we call you?").fill("Ada");
  await page.getByRole("button", { name: "Make my key" }).click();
  const first = await page.locator("#the-key").innerText();
  await page.goto("/developers");
  await page.getByText("This wallet has signed up").waitFor();

  // Empty states, in every look.
  await inEachLook(open, (look) => signIn(look, 0), async (look, how) => {
    for (const path of ["/developers/account", "/developers/requests", "/developers/requests?pool=flagship"]) {
      await look.goto(path);
      await check.fits(look, `${path}, ${how}`);
      await axe(look, `${path} with nothing in it, ${how}`);
    }
  });

  check.equal([await ask(first), await ask(first)], [200, 200], "the key asks");
  await page.goto("/developers/account");
  await page.getByRole("img", { name: /Cost of each day/ }).waitFor();
  check.equal(await page.locator("#requests ~ * tbody tr").count(), 2, "both requests are listed");

  // One more key, which may only ask.
  const form = page.locator("form", { has: page.getByRole("heading", { name: "One more key" }) });
  await form.getByLabel("Name").fill("laptop");
  for (const scope of ["models", "usage", "keys"]) await form.locator(`input[value=${scope}]`).uncheck();
  await form.getByRole("button", { name: "Make the key" }).click();
  const second = await page.locator("#the-key").innerText();
  check.equal(await ask(second), 200, "the new key asks");
  check.equal((await api("/api/v1/keys", { key: second })).status, 403, "and may do nothing else");
  await shot(page, "created");

  // Rotated with an overlap: both work. Rotated at once: only the newest does.
  const rotate = async (name, overlap) => {
    await page.goto("/developers/account");
    await page.locator("tr", { hasText: name }).filter({ hasText: "active" }).getByRole("link", { name: /Rotate or revoke/ }).click();
    await page.getByLabel("The old key works on for").selectOption(overlap);
    await page.getByRole("button", { name: "Rotate the key" }).click();
    return page.locator("#the-key").innerText();
  };
  const third = await rotate("laptop", "3600");
  await page.getByText(/The old key .* works until/).waitFor();
  check.equal([await ask(second), await ask(third)], [200, 200], "in the overlap both keys ask");
  await axe.everywhere(page, "a rotated key");
  const fourth = await rotate("laptop", "0");
  await page.getByText("has stopped working").waitFor();
  check.equal([await ask(third), await ask(fourth)], [401, 200], "after it the old key is refused");

  // Revoked, with a tick.
  await page.goto("/developers/account");
  await page.locator("tr", { hasText: "laptop" }).filter({ hasText: "active" }).getByRole("link", { name: /Rotate or revoke/ }).click();
  await axe.everywhere(page, "a key's page");
  await shot(page, "key");
  await page.getByLabel("Yes, revoke this key").check();
  await page.getByRole("button", { name: "Revoke the key" }).click();
  await page.getByText("The key laptop is revoked and works no more.").waitFor();
  check.equal(await ask(fourth), 401, "a revoked key is refused");
  await page.getByText("A live key needs credits that were bought or granted").waitFor();

  // The log: what was set aside is accounted for, filters stand in the address, and a spreadsheet gets the same.
  await page.goto("/developers/requests");
  const rows = await page.locator("table.log tbody tr").count();
  check.equal(rows, 6, "every request is in the log, and no refused one");
  const micro = (text) => BigInt(Math.round(Number(text.replace("$", "")) * 1e6));
  for (const row of await page.locator("table.log tbody tr").all()) {
    const [held, charged, back] = (await row.locator("td.number").allInnerTexts()).slice(1);
    check.equal(micro(held), micro(charged) + micro(back), "set aside = charged + given back");
  }
  await page.getByLabel("State").selectOption("held");
  await page.getByRole("button", { name: "Filter" }).click();
  await page.waitForURL(/state=held/);
  await page.getByText("No request fits these filters").waitFor();
  const csv = await page.context().request.get("/developers/requests?state=settled&format=csv");
  check.equal((await csv.text()).trim().split("\r\n").length, rows + 1, "the spreadsheet has the same rows");
  const list = await (await api("/api/v1/requests", { key: first })).json();
  check.equal(list.requests.length, rows, "and so has the API");
  await page.goto("/developers/requests?from=yesterday");
  await page.getByRole("alert").waitFor();
  await axe.everywhere(page, "the log with a filter that cannot be right");

  await inEachLook(open, (look) => signIn(look, 0), async (look, how) => {
    for (const path of ["/developers/account", "/developers/requests"]) {
      await look.goto(path);
      await check.fits(look, `${path}, ${how}`);
      await axe(look, `${path}, ${how}`);
      await shot(look, `${path.split("/").pop()}-${how}`);
    }
  });

  // Without JavaScript, and with a key instead of a wallet.
  const plain = await open({ javascript: false });
  await plain.goto("/developers/account");
  await plain.getByLabel("Or show an API key of the account").fill(first);
  await plain.getByRole("button", { name: "Show me my account" }).click();
  // The wallet owns the account: its sandbox key manages no keys, and reads the log.
  await plain.getByText('This API key lacks the scope "keys"').waitFor();
  check(!(await plain.content()).includes(first), "the page does not repeat the key");
  await plain.goto("/developers/requests");
  await plain.getByLabel("Or show an API key of the account").fill(first);
  await plain.getByRole("button", { name: "Show its requests" }).click();
  check.equal(await plain.locator("table.log tbody tr").count(), rows, "a key of the account reads its log");
  await plain.goto("/developers/requests");
  await plain.getByLabel("Or show an API key of the account").fill("lf_test_wrong");
  await plain.getByRole("button", { name: "Show its requests" }).click();
  await plain.getByRole("alert").waitFor();
}
