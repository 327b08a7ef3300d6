// From the form to a first streamed answer, counted; and the same without JavaScript.
import { inEachLook } from "../lib/looks.mjs";

export const title = "a developer reads a first answer after three interactions";

export async function run({ open, axe, check, api, shot }) {
  const page = await open();
  let interactions = 0;
  const act = (deed) => {
    interactions += 1;
    return deed;
  };
  await page.goto("/developers");
  await act(page.getByLabel("What shall we call you?").fill("Ada"));
  await act(page.getByRole("button", { name: "Make my key" }).click());
  const call = page.locator("[data-first-call]");
  await call.filter({ hasText: "Waiting for your first request" }).waitFor();
  const key = await page.locator("#the-key").innerText();
  check(/^lf_test_/.test(key), "the key is shown");

  const sent = page.waitForRequest("**/v1/chat/completions");
  await act(page.getByRole("button", { name: "Send" }).click());
  await page.locator("#play-state", { hasText: "answered by the pool cheap" }).waitFor();
  check((await page.locator("#play-answer").innerText()).length > 0, "the answer is there");
  await call.filter({ hasText: "Your first request has arrived" }).waitFor();
  check(interactions <= 3, `a first answer takes three interactions at the most, not ${interactions}`);

  // The code says what was sent, and the key is in neither.
  const body = (await sent).postData();
  await page.getByText("View code").click();
  const curl = await page.locator("#code-curl").innerText();
  check(curl.endsWith(`-d '${body}'`), `curl sends ${body}`);
  const codes = await page.locator("#code-curl, #code-python, #code-js").allTextContents();
  check(codes.every((code) => !code.includes(key) && code.includes("FREESIDE_API_KEY")), "no code holds the key");
  await page.getByLabel("Temperature, 0 to 2").fill("1.5");
  await page.getByLabel("Message").fill("It's \"late\"");
  const told = await page.locator("#code-curl, #code-python, #code-js").allTextContents();
  check(told.every((code) => code.includes("1.5") && code.includes("late")), "code follows the form");
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
  check(!kept.includes(key), "the key is kept nowhere");
  await axe.everywhere(page, "a key with its first answer");
  await shot(page, "made-answer");
  await page.context().close();

  // An answer that is long can be stopped, and a wrong key is told.
  const other = await open();
  await other.goto("/developers/playground");
  await other.getByRole("button", { name: "Send" }).click();
  await other.locator("#play-state", { hasText: "Put an API key" }).waitFor();
  await other.getByLabel("An API key").fill(key);
  await other.getByLabel("Message").fill("Tell me more !tokens 200 !pace 50");
  await other.getByRole("button", { name: "Send" }).click();
  await other.getByRole("button", { name: "Stop" }).click();
  await other.locator("#play-state", { hasText: /Stopped|answered by the pool/ }).waitFor();
  await other.context().close();

  // In every look: the form, the playground, its error.
  await inEachLook(open, async () => {}, async (look, how) => {
    await look.goto("/developers/playground");
    await look.getByRole("button", { name: "Send" }).click();
    await look.locator("#play-state", { hasText: "Put an API key" }).waitFor();
    await look.getByText("View code").click();
    await check.fits(look, `the playground, ${how}`);
    await axe(look, `the playground without a key, ${how}`);
    await shot(look, `playground-${how}`);
  });

  // Without JavaScript: the key, its three forms, and a command that works.
  const plain = await open({ javascript: false, width: 390, dark: true });
  await plain.goto("/developers");
  await plain.getByLabel("What shall we call you?").fill("Grace");
  await plain.getByRole("button", { name: "Make my key" }).click();
  const second = await plain.locator("#the-key").innerText();
  await plain.getByText("As a command").click();
  check((await plain.locator("#curl").innerText()).includes(second), "the command has the key in it");
  check(!(await plain.locator("#playground").isVisible()), "what would do nothing is not shown");
  await check.fits(plain, "the key's page on a phone");
  await shot(plain, "made-plain");
  const answer = await api("/v1/chat/completions", { key: second, json: { model: "native", messages: [{ role: "user", content: "Hello!" }] } });
  check.equal(answer.status, 200, "the key asks");
}
