// On a second foreign origin, in a browser that blocks third-party cookies; on a phone, in the dark, without motion, right
// to left.
import { host } from "../lib/host.mjs";
import { ask, finished, openShadow, signIn, widget } from "../lib/widget.mjs";

export const title = "the widget signs in and chats with third-party cookies blocked, and keeps to the page's manners";
export const flags = ["--test-third-party-cookie-phaseout"];

export async function run({ base, open, axe, check, shot }) {
  const blog = await host({ base, name: "blog.localhost", title: "A blog", attributes: { "data-accent": "#7a3fb0" } });
  const page = await open({ wallet: 0, dark: true });
  await openShadow(page);
  await page.goto(blog.origin);
  const it = widget(page);
  await it.button.waitFor();
  await axe(page, "a page with the closed widget, in the dark");
  await it.button.click();
  await it.frame.getByRole("button", { name: "Sign in to chat" }).waitFor();
  const inside = await it.document();
  const cookie = await inside.evaluate(() => {
    document.cookie = "tried=1; SameSite=None; Secure";
    return document.cookie;
  });
  check.equal(cookie, "", "the browser blocks the frame's cookies");
  await axe(inside, "the frame in the dark");
  await signIn(page, it);
  await finished(it, await ask(it, "Tell me something in the dark."));
  await axe(inside, "an answer in the dark");
  await axe(page, "the page around it in the dark");
  await shot(page, "dark");
  await blog.close();

  for (const dark of [false, true]) {
    const phoned = await host({ base, name: "blog.localhost", dir: "rtl", title: "مدونة", attributes: { "data-position": "left", "data-theme": dark ? "dark" : "light" } });
    // The page's own theme is the other one: what the tag asks for wins.
    const phone = await open({ width: 390, wallet: 0, dark: !dark, reducedMotion: "reduce" });
    await openShadow(phone);
    await phone.goto(phoned.origin);
    const there = widget(phone);
    await there.button.waitFor();
    const { x } = await there.button.boundingBox();
    check(x < 100, `the button stands on the left: ${x}`);
    check.equal(await there.button.evaluate((button) => getComputedStyle(button).transitionDuration), "0s", "nothing moves");
    await axe(phone, `a phone with the closed widget, ${dark ? "dark" : "light"}`);
    await shot(phone, `phone-closed-${dark ? "dark" : "light"}`);
    await there.button.click();
    await there.frame.getByRole("button", { name: "Sign in to chat" }).waitFor();
    const box = await there.panel.boundingBox();
    check.equal([box.x, box.y, box.width, box.height], [0, 0, 390, 844], "the chat fills the phone");
    const document = await there.document();
    const paper = await document.evaluate(() => getComputedStyle(document.querySelector(".fs-panel")).backgroundColor);
    check.equal(paper, dark ? "rgb(15, 25, 23)" : "rgb(247, 246, 239)", "the theme is the tag's");
    await axe(document, "the frame on a phone");
    await signIn(phone, there);
    await finished(there, await ask(there, "مرحبا، كيف حالك؟"));
    await check.fits(document, "an answer on a phone");
    await axe(document, "an answer on a phone");
    await axe(phone, "the page around it on a phone");
    await shot(phone, `phone-${dark ? "dark" : "light"}`);
    await there.frame.getByRole("button", { name: "Close chat" }).click();
    await there.panel.waitFor({ state: "hidden" });
    await phoned.close();
  }
}
