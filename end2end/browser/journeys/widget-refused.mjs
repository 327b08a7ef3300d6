// Who may not hold the chat: a designed page says so to an honest page, and the browser itself refuses a lying one.
import { host } from "../lib/host.mjs";
import { openShadow, widget } from "../lib/widget.mjs";

export const title = "a page that is not allowed cannot hold the chat, and reads why";
// A name that is on no list; plain http elsewhere than on this machine never can be.
export const flags = ["--host-resolver-rules=MAP shop.example 127.0.0.1"];

export async function run({ base, open, axe, check, expectTrouble, shot }) {
  expectTrouble(/the server responded with a status of 40[34]/);
  for (const dark of [false, true]) {
    const shop = await host({ base, name: "shop.example" });
    const page = await open({ dark });
    await openShadow(page);
    await page.goto(shop.origin);
    const it = widget(page);
    await it.button.click();
    await it.frame.getByRole("heading", { name: "This page may not show the chat" }).waitFor();
    const inside = await it.document();
    await axe(inside, "a refusal");
    await shot(page, `refused-${dark ? "dark" : "light"}`);
    await it.frame.getByRole("button", { name: "Close" }).click();
    await it.panel.waitFor({ state: "hidden" });
    await it.button.click();
    await it.frame.getByRole("link", { name: "How to embed it" }).press("Escape");
    await it.panel.waitFor({ state: "hidden" });
    check(await page.evaluate(() => document.activeElement.localName === "freeside-chat"), "the focus is back");
    await shop.close();
  }

  const shop = await host({ base, attributes: { "data-agent": "demo:99" } });
  const page = await open({ width: 390 });
  await openShadow(page);
  await page.goto(shop.origin);
  const it = widget(page);
  await it.button.click();
  await it.frame.getByRole("heading", { name: "There is no such agent" }).waitFor();
  await axe(await it.document(), "no such agent, on a phone");
  await shot(page, "no-agent");
  await shop.close();

  // A page that claims to be another one.
  const claimed = encodeURIComponent("http://localhost:1");
  const liar = await host({ base, name: "shop.example", body: `<iframe title="Chat" src="${base}/embed?agent=demo:1&amp;host=${claimed}"></iframe>` });
  expectTrouble(/frame-ancestors/);
  expectTrouble(/ERR_BLOCKED_BY_RESPONSE/);
  const lied = await open();
  const refused = lied.waitForEvent("console", (message) => /frame-ancestors/.test(message.text()));
  await lied.goto(liar.origin);
  await refused;
  const [, frame] = lied.frames();
  check(!(await frame.content().catch(() => "")).includes("data-freeside"), "nothing of the chat is in the frame");
  await liar.close();
}
