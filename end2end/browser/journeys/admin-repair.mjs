// A payment whose notices were lost: reconciled by an administrator who says so twice, then by two.
import { signUp } from "../lib/admin.mjs";

export const title = "a lost payment is reconciled, by one administrator or by two";

export async function run({ base, api, simulator, open, signIn, axe, check, expectTrouble }) {
  const page = await open();
  await signIn(page, 0);
  const { key, path } = await signUp(page, base);
  const balance = async () => BigInt((await (await api("/api/v1/usage", { key })).json()).available_micro);
  const pay = async () => {
    const order = await (await api("/api/v1/orders", { key, json: { pack: "standard" }, headers: { "idempotency-key": crypto.randomUUID() } })).json();
    const chosen = await (await api(`/api/v1/orders/${order.id}/payment`, { key, json: { currency: "btc" } })).json();
    const { id } = chosen.payment;
    for (const action of ["silent", "pay"]) {
      const done = await fetch(`${simulator}/simulator/payments/${id}/${action}`, { method: "POST" });
      check(done.ok, `the simulator does ${action}: ${done.status}`);
    }
    return id;
  };
  const ask = async (by, payment) => {
    await by.goto(`${path}/payments`);
    await by.getByLabel("Payment", { exact: true }).fill(payment);
    await by.getByLabel("Why").last().fill("the buyer shows a finished transaction");
    await by.getByRole("button", { name: "Go on" }).last().click();
  };

  const before = await balance();
  const first = await pay();
  check.equal(await balance(), before, "nothing is credited by itself");
  await ask(page, first);
  await page.getByRole("heading", { name: "Once more: do this?" }).waitFor();
  await axe.everywhere(page, "once more");
  check((await page.locator("main").innerText()).includes(first), "it names the payment");
  check.equal(await balance(), before, "nothing is credited before the second yes");
  await page.getByRole("button", { name: "Yes, do it" }).click();
  await page.waitForURL(/done=reconciled/);
  const after = await balance();
  check(after > before, "then it is credited");

  expectTrouble(/Failed to load resource: the server responded with a status of 404/);
  await ask(page, "1234567");
  await page.getByRole("alert").waitFor();
  await axe.everywhere(page, "no such payment");

  // With a second administrator, one asks and the other approves.
  const second = await pay();
  await page.goto(`${path}/settings`);
  await page.getByLabel("A further administrator").fill("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
  await page.locator("#admin-reason").fill("two see more");
  await page.getByRole("button", { name: "Add the wallet" }).click();
  await page.getByRole("button", { name: "Yes, do it" }).click();
  await page.waitForURL(/done=admin/);
  await ask(page, second);
  await page.getByRole("heading", { name: "It waits for another administrator" }).waitFor();
  await axe.everywhere(page, "waits for another");
  check.equal(await balance(), after, "not by one alone");
  const other = await open({ width: 390, dark: true });
  await signIn(other, 1);
  await other.goto(`${path}/payments`);
  await axe.everywhere(other, "to approve");
  await other.getByRole("button", { name: "Approve and do it" }).click();
  await other.waitForURL(/done=reconciled/);
  check((await balance()) > after, "by two it is credited");
}
