// On a page that is cut off from all others: the popup cannot speak to the frame, and the session comes by the server.
import { host, strict } from "../lib/host.mjs";
import { ask, finished, openShadow, signIn, widget } from "../lib/widget.mjs";

export const title = "the widget signs in on a page that its popup cannot speak to";

export async function run({ base, api, open, check }) {
  const guide = await (await api("/docs/widget")).text();
  const [pinned] = guide.match(/\/widget\/[\da-f]{12}\/widget\.js/);
  const [, integrity] = guide.match(/integrity=&quot;(sha384-[\w+/]{64})&quot;/);
  const isolation = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
  const attributes = { src: `${base}${pinned}`, integrity, crossorigin: "anonymous" };
  const bank = await host({ base, title: "A bank", attributes, headers: { ...strict(base), ...isolation } });
  const page = await open({ wallet: 0 });
  await openShadow(page);
  await page.goto(bank.origin);
  check(await page.evaluate(() => window.crossOriginIsolated), "the page is isolated");
  const it = widget(page);
  await it.button.click();
  const opened = page.context().waitForEvent("page");
  await it.frame.getByRole("button", { name: "Sign in to chat" }).click();
  const popup = await opened;
  await popup.waitForLoadState();
  check(await popup.evaluate(() => window.opener === null), "the popup has no opener");
  await popup.getByRole("button", { name: "Harbour Wallet" }).click();
  await it.frame.getByRole("textbox").waitFor();
  await finished(it, await ask(it, "Hello from a bank"));
  await bank.close();
}
