// Caps and settings: set by forms, refused where they cannot be right, recorded, and felt by the next request.
import { signUp } from "../lib/admin.mjs";

export const title = "an administrator caps a community, and the record says so";

export async function run({ base, api, open, signIn, axe, check, expectTrouble }) {
  expectTrouble(/Failed to load resource: the server responded with a status of 422/);
  const page = await open();
  await signIn(page, 0);
  const { key, path } = await signUp(page, base);
  const ask = () => api("/v1/chat/completions", { key, json: { model: "cheap", max_tokens: 5, messages: [{ role: "user", content: "Hello!" }] } });
  check.equal((await ask()).status, 200, "without a cap it answers");

  await page.goto(`${path}/caps`);
  const set = async (limit) => {
    await page.getByLabel("Hard cap in dollars a month").fill(limit);
    await page.getByLabel("Why").fill("the holidays");
    await page.getByRole("button", { name: "Set the cap" }).click();
  };
  await set("five dollars");
  const wrong = page.getByLabel("Hard cap in dollars a month");
  await page.locator("#limit-error").waitFor();
  check.equal(await wrong.getAttribute("aria-invalid"), "true", "the field says that it is wrong");
  check.equal(await wrong.inputValue(), "five dollars", "and keeps what was typed");
  await axe.everywhere(page, "a wrong cap");

  await set("0.000001");
  await page.waitForURL(/done=cap/);
  check((await page.getByRole("status").innerText()).includes("The cap is set"), "it says so");
  await axe.everywhere(page, "a cap that is reached");
  check.equal((await ask()).status, 402, "over the cap it refuses");
  await set("");
  await page.waitForURL(/done=lifted/);
  check.equal((await ask()).status, 200, "lifted, it answers again");

  // Origins of the widget, and the record of all of it.
  await page.goto(`${path}/settings`);
  const allow = async (origin) => {
    await page.getByLabel("A further origin").fill(origin);
    await page.locator("#origin-reason").fill("our shop");
    await page.getByRole("button", { name: "Allow the origin" }).click();
  };
  await allow("https://*.shop.example");
  await page.locator("#origin-error").waitFor();
  await allow("https://shop.example");
  await page.waitForURL(/done=allowed/);
  await page.getByText("Remove https://shop.example").click();
  await page.locator("details[open]").getByLabel("Why").fill("moved away");
  await page.locator("details[open]").getByRole("button", { name: "Go on" }).click();
  await page.waitForURL(/done=forgotten/);
  await page.getByLabel("A further administrator").fill("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
  await page.locator("#admin-reason").fill("two see more");
  await page.getByRole("button", { name: "Add the wallet" }).click();
  await page.getByRole("button", { name: "Yes, do it" }).click();
  await page.waitForURL(/done=admin/);
  const record = await page.getByRole("group", { name: "The record of deeds" }).innerText();
  for (const word of ["the holidays", "our shop", "moved away", "two see more"]) check(record.includes(word), `the record has "${word}"`);
  await axe.everywhere(page, "settings with two administrators");

  const other = await open();
  await signIn(other, 1);
  const reply = await other.goto(`${path}/settings`);
  check.equal(reply.status(), 200, "who was added may read");

  // Neither of two changes the list alone.
  await page.getByText("Remove 0x7099").click();
  await page.locator("details[open]").getByLabel("Why").fill("one is enough");
  await page.locator("details[open]").getByRole("button", { name: "Go on" }).click();
  await page.getByRole("heading", { name: "It waits for another administrator" }).waitFor();
  await other.reload();
  await other.getByRole("button", { name: "Approve and do it" }).waitFor();
  check((await other.locator("main").innerText()).includes("one is enough"), "the other one reads why");
  await axe.everywhere(other, "a right to approve");
}
