// On a page with the strictest policy: open, sign in, ask, close, come back.
import { host, strict } from "../lib/host.mjs";
import { ask, finished, isFinished, openShadow, signIn, widget } from "../lib/widget.mjs";

export const title = "the widget chats on a foreign page that forbids wasm and everything inline";

/** Counts what a screen reader is told. Runs in the frame. */
const listen = () => {
  window.told = [];
  const region = document.querySelector("[role=status]");
  new MutationObserver(() => window.told.push(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true });
};

export async function run({ base, open, axe, check, shot }) {
  const shop = await host({ base, headers: strict(base) });
  const page = await open({ wallet: 0 });
  await openShadow(page);
  const loaded = [];
  page.on("request", (request) => loaded.push(request.url()));
  await page.goto(shop.origin);
  const it = widget(page);
  await it.button.waitFor();
  check.equal(loaded.filter((url) => url.startsWith(base)), [`${base}/widget/v1/widget.js`], "all that a closed widget loads");
  await axe(page, "a page with the closed widget");
  await shot(page, "closed");

  // By keyboard, past the page's own link.
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await it.frame.getByRole("button", { name: "Sign in to chat" }).waitFor();
  check.equal(await it.button.getAttribute("aria-expanded"), "true", "the button says that it is open");
  await axe(page, "the page around the open widget");
  await axe(await it.document(), "the frame, signed out");
  await shot(page, "open");
  check.equal(await page.evaluate(() => document.querySelector("script").integrity + document.styleSheets.length), "0", "the page has no style of ours");

  await signIn(page, it);
  const inside = await it.document();
  await inside.evaluate(listen);
  const kept = await inside.evaluate(() => [() => document.cookie, () => JSON.stringify(localStorage), () => JSON.stringify(sessionStorage)].map((read) => {
    try {
      return read();
    } catch (error) {
      return error.name;
    }
  }));
  check(!/eyJ/.test(kept.join()), `no session is stored: ${kept.join()}`);
  await finished(it, await ask(it, "Who are you?"));
  check.equal((await inside.evaluate(() => window.told)).length, 1, "a finished answer is told once");
  await axe(inside, "an answer in the frame");
  await axe(page, "the page around an answer");
  await shot(page, "answer");

  // Closed while an answer is on its way: the focus is back, and the badge counts.
  let second;
  let answers = 1;
  for (let pace = 20; ; pace *= 4) {
    second = await ask(it, `And once more, at length. !tokens 60 !pace ${pace}`);
    answers += 1;
    await it.frame.getByRole("textbox").press("Escape");
    await it.panel.waitFor({ state: "hidden" });
    if (!(await isFinished(it, second))) break;
    await page.keyboard.press("Enter"); // on a busy machine it ended before the panel was closed: a slower one
    await it.frame.getByRole("textbox").waitFor();
  }
  check.equal(await page.evaluate(() => document.activeElement.localName), "freeside-chat", "the focus is back at the button");
  await finished(it, second);
  await it.badge.waitFor();
  check.equal(await it.badge.innerText(), "1", "one answer waits");
  check.equal(await it.button.getAttribute("aria-label"), "Open chat, 1 unread", "and is heard of");
  await axe(page, "a page with an answer that waits");
  await shot(page, "unread");
  await page.keyboard.press("Enter");
  await it.badge.waitFor({ state: "hidden" });
  check.equal((await inside.evaluate(() => window.told)).length, answers, "each answer was told once, this one too");

  // The shadow is closed to the page, and the session is gone with the page.
  const other = await open();
  await other.goto(shop.origin);
  await other.locator("freeside-chat").waitFor({ state: "attached" });
  check(await other.evaluate(() => document.querySelector("freeside-chat").shadowRoot === null), "the page cannot reach in");
  check(await other.evaluate(() => Object.keys(window).every((name) => !/freeside/i.test(name))), "nothing of ours is global");
  await page.reload();
  await it.button.click();
  await it.frame.getByRole("button", { name: "Sign in to chat" }).waitFor();
  await shop.close();
}
