// Credits are bought: the pack, the coin, the payment, the balance, and the live key that they open.
import { inEachLook } from "../lib/looks.mjs";
import { paymentOf, press } from "../lib/simulator.mjs";

export const title = "a developer buys credits, watches them arrive and goes live";

export async function run({ open, axe, check, api, signIn, simulator, expectTrouble, shot }) {
  expectTrouble(/Failed to load resource: the server responded with a status of 40[0-9]/);
  const page = await open();
  await signIn(page, 0);
  await page.goto("/developers");
  await page.getByLabel("What shall we call you?").fill("Ada");
  await page.getByRole("button", { name: "Make my key" }).click();
  const key = await page.locator("#the-key").innerText();
  const has = async () => BigInt((await (await api("/api/v1/usage", { key })).json()).available_micro);
  check.equal(await has(), 0n, "nothing is there at first");

  await inEachLook(open, (look) => signIn(look, 0), async (look, how) => {
    await look.goto("/buy?return=/developers/account");
    await check.fits(look, `/buy, ${how}`);
    await axe(look, `/buy, ${how}`);
    await shot(look, `buy-${how}`);
  });

  await page.goto("/buy?return=/developers/account");
  await page.getByRole("radio", { name: /Standard/ }).check();
  await page.getByRole("radio", { name: /your developer account/ }).check();
  // The same form twice is one order.
  const fields = await page.locator("main form").evaluate((form) => Object.fromEntries(new FormData(form)));
  await page.getByRole("button", { name: "Go to the checkout" }).click();
  await page.waitForURL(/\/checkout\/[0-9a-f-]{36}/);
  const address = page.url();
  const again = await page.context().request.post("/buy", { form: fields, maxRedirects: 0, headers: { origin: new URL(address).origin } });
  check.equal(new URL(again.headers().location, address).href, address, "the same form is the same order");
  await page.getByRole("note").filter({ hasText: "no real money" }).waitFor();
  await axe.everywhere(page, "the choice of a coin");
  await shot(page, "coins");

  await page.getByRole("button", { name: /Bitcoin/ }).click();
  await page.getByRole("heading", { name: "Pay with Bitcoin" }).waitFor();
  await page.getByRole("img", { name: /QR code/ }).waitFor();
  check.equal(await page.locator("#state").innerText(), "Payment pending: waiting for confirmation", "what a payer reads");
  await page.locator(".countdown", { hasText: "left" }).waitFor();
  const order = await (await page.context().request.get(`/api/v1/orders/${new URL(address).pathname.split("/").pop()}`)).json();
  check.equal(await page.locator("#address").innerText(), order.payment.pay_address, "the address");
  check.equal(await page.locator("#amount").innerText(), order.payment.pay_amount, "the exact amount");
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "Copy the address" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  check.equal(await page.evaluate(() => navigator.clipboard.readText()), order.payment.pay_address, "what was copied");
  await inEachLook(open, (look) => signIn(look, 0), async (look, how) => {
    await look.goto(address);
    await check.fits(look, `the checkout, ${how}`);
    await axe(look, `the checkout that waits, ${how}`);
    await shot(look, `pay-${how}`);
  });

  // Nobody else sees anything of it.
  const stranger = await open();
  for (const prepare of [async () => {}, () => signIn(stranger, 1)]) {
    await prepare();
    await stranger.goto(address);
    const text = await stranger.locator("main").innerText();
    check(text.includes("Whose order is it?") && !text.includes("Standard") && !text.includes(order.payment.pay_address), "an order is its buyer's alone");
    await axe.everywhere(stranger, "somebody else's order");
  }

  // Without a script the page reads the same, and is looked at again by hand.
  const plain = await open({ javascript: false });
  await signIn(plain, 0);
  await plain.goto(address);
  check.equal(await plain.locator("#address").innerText(), order.payment.pay_address, "the address, without JavaScript");

  await press(simulator, await paymentOf(page), "pay");
  await page.locator("#state", { hasText: "Credits added to your account!" }).waitFor();
  check.equal(await page.locator("#new-balance").innerText(), "$10.50", "the new balance");
  check.equal(await has(), 10_500_000n, "the balance rose");
  await axe.everywhere(page, "a paid order");
  await shot(page, "paid");
  await plain.getByRole("link", { name: "Look again" }).click();
  await plain.getByText("Credits added to your account!").waitFor();

  await page.getByRole("link", { name: "Back to where you were" }).click();
  await page.waitForURL("**/developers/account");
  await page.getByRole("button", { name: "Make a live key" }).click();
  check(/^lf_live_/.test(await page.locator("#the-key").innerText()), "what was bought opens a live key");
}
