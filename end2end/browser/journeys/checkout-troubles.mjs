// What can happen to a payment besides being paid: too little, too late, nothing, and all of it back.
import { inEachLook } from "../lib/looks.mjs";
import { paymentOf, press } from "../lib/simulator.mjs";

export const title = "a checkout says what to do when too little comes, nothing comes, or it goes back";

export async function run({ open, axe, check, signIn, simulator, shot }) {
  const page = await open();
  await signIn(page, 1);
  /** An order of a member's account with a payment in that coin, shown. */
  const ordered = async (coin) => {
    await page.goto("/buy?pack=starter");
    await page.getByRole("button", { name: "Go to the checkout" }).click();
    await page.getByRole("button", { name: coin }).click();
    await page.locator("#address").waitFor();
    return paymentOf(page);
  };
  const seen = async (says, name) => {
    await page.locator("#state", { hasText: says }).waitFor();
    await shot(page, name);
    const address = page.url();
    await inEachLook(open, (look) => signIn(look, 1), async (look, how) => {
      await look.goto(address);
      await check.fits(look, `${name}, ${how}`);
      await axe(look, `${name}, ${how}`);
    });
  };

  const short = await ordered(/Litecoin/);
  await press(simulator, short, "underpay");
  await seen("Underpaid: send the remainder or contact support", "underpaid");
  check(Number(await page.locator("#missing").innerText()) > 0, "it says how much is missing");
  check.equal(await page.locator("#amount").innerText(), await page.locator("#missing").innerText(), "and asks for that much");
  await press(simulator, short, "accept");
  await page.locator("#state", { hasText: "Credits added to your account!" }).waitFor();

  await press(simulator, await ordered(/Bitcoin/), "expire");
  await seen("Invoice expired: use /buy-credits for a new one", "expired");
  await page.getByRole("button", { name: /Litecoin/ }).click();
  await page.locator("#state", { hasText: "Payment pending: waiting for confirmation" }).waitFor();

  await press(simulator, await ordered(/Bitcoin/), "fail");
  await seen("Payment failed: please try again", "failed");

  const back = await ordered(/Bitcoin/);
  await press(simulator, back, "pay");
  await page.locator("#state", { hasText: "Credits added to your account!" }).waitFor();
  await press(simulator, back, "refund");
  await page.reload();
  await seen("Refund processed", "refunded");
}
