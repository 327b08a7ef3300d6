// The sign-in as a window: it speaks to a page of ours alone, says who asks where it cannot speak, and takes a no.
import { createServer } from "node:http";
import { createHash, randomBytes } from "node:crypto";

export const title = "a window signs a chat in, says who asks, and gives nothing to strangers";

const SHOP = "https://shop.example";

/** A page on our own origin where a chat's frame would be: what the browser sends from there is what counts. */
async function frame(page) {
  await page.route("**/embed?*", (route) => route.fulfill({
    contentType: "text/html",
    headers: { "referrer-policy": "same-origin" },
    body: '<!doctype html><html lang="en"><title>A chat</title><link rel="icon" href="data:,"><h1>A chat</h1>',
  }));
  await page.goto(`/embed?agent=demo:1&host=${encodeURIComponent(SHOP)}`);
}

const hash = (code) => createHash("sha256").update(code).digest("base64url");

export async function run({ base, open, axe, check, expectTrouble, shot }) {
  const opened = async (page, url, features) => {
    const popup = page.context().waitForEvent("page");
    await page.evaluate(([url, features]) => void window.open(url, "", features), [url, features]);
    const window = await popup;
    await window.waitForLoadState();
    return window;
  };
  const listen = (page) => page.evaluate(() => {
    window.heard = [];
    window.addEventListener("message", ({ origin, data }) => window.heard.push({ origin, data }));
  });
  const redeem = (page, code) => page.evaluate(async (code) => {
    const answer = await fetch("/api/v1/siwe/exchange", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ code }) });
    return { status: answer.status, ...(await answer.json()) };
  }, code);

  // A chat that can be spoken to: the code comes by a message, from our own origin, and works once.
  const chat = await open({ wallet: 0 });
  await frame(chat);
  await listen(chat);
  const window = await opened(chat, "/signin?mode=popup", "popup,width=440,height=640");
  await window.getByRole("button", { name: "Harbour Wallet" }).waitFor();
  check((await window.locator("main").innerText()).includes("shop.example"), "the window says who asks");
  await axe.everywhere(window, "the window");
  await shot(window, "asks");
  const closed = window.waitForEvent("close");
  await window.getByRole("button", { name: "Harbour Wallet" }).click();
  await closed;
  await chat.waitForFunction(() => window.heard.length > 0);
  const [{ origin, data }, ...more] = await chat.evaluate(() => window.heard);
  check(origin === new URL(base).origin && data.freeside === "code" && more.length === 0, "one message, from our own origin");
  const got = await redeem(chat, data.code);
  check(got.status === 200 && got.address === chat.wallet.address && got.token.split(".").length === 3, "the code is a session");
  expectTrouble(/Failed to load resource: the server responded with a status of 40[34]/);
  check.equal((await redeem(chat, data.code)).status, 404, "the code a second time");

  // One that is cut off: it polls with a code of its own. Signed in already, one press is enough.
  const code = randomBytes(24).toString("hex");
  const cut = await opened(chat, `/signin?mode=popup&challenge=${hash(code)}`, "popup,noopener,width=440,height=640");
  check((await cut.locator("main").innerText()).includes("shop.example"), "the window that is cut off says who asks, too");
  check.equal((await redeem(chat, code)).status, 404, "the code before anybody agreed");
  const agree = cut.getByRole("button", { name: /^Continue as 0x/ });
  await agree.waitFor();
  await axe.everywhere(cut, "the window of somebody");
  await shot(cut, "asks-again");
  await agree.click();
  await chat.waitForFunction(async (code) => {
    const answer = await fetch("/api/v1/siwe/exchange", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ code }) });
    return answer.status === 200;
  }, code, { polling: 500 });

  // And it takes a no.
  const refused = randomBytes(24).toString("hex");
  const declined = await opened(chat, `/signin?mode=popup&challenge=${hash(refused)}`, "popup,noopener,width=440,height=640");
  await declined.getByRole("link", { name: /^No/ }).click();
  await declined.getByRole("heading", { name: "Nothing was handed over" }).waitFor();
  await axe.everywhere(declined, "the window after a no");
  await shot(declined, "declined");
  check.equal((await redeem(chat, refused)).status, 404, "the code that was declined");

  // A link from elsewhere gets nothing, whatever it asks for and whoever is signed in.
  const lure = createServer((request, response) => {
    response.setHeader("content-type", "text/html");
    response.end('<!doctype html><html lang="en"><title>Elsewhere</title><link rel="icon" href="data:,"><h1>Elsewhere</h1>');
  });
  await new Promise((done) => lure.listen(0, "127.0.0.1", done));
  try {
    const elsewhere = await chat.context().newPage();
    await elsewhere.goto(`http://localhost:${lure.address().port}/`);
    await listen(elsewhere);
    const lured = randomBytes(24).toString("hex");
    const asked = await opened(elsewhere, `${base}/signin?mode=popup&challenge=${hash(lured)}`, "popup,width=440,height=640");
    await asked.getByRole("heading", { name: "Nothing was asked for" }).waitFor();
    check.equal(await asked.locator("[data-freeside]").count(), 0, "places to sign on a stranger's errand");
    await axe.everywhere(asked, "the window of a stranger");
    await shot(asked, "stranger");
    check.equal((await redeem(chat, lured)).status, 404, "the stranger's code");
    // Without a code of its own it may open the window, and hears nothing of it.
    const deaf = await opened(elsewhere, `${base}/signin?mode=popup`, "popup,width=440,height=640");
    const wallet = deaf.getByRole("button", { name: "Harbour Wallet" });
    await wallet.waitFor();
    expectTrouble(/Failed to execute 'postMessage' on 'DOMWindow'/);
    const gone = deaf.waitForEvent("close");
    await wallet.click();
    await gone;
    check.equal(await elsewhere.evaluate(() => window.heard.length), 0, "words to a page elsewhere");
  } finally {
    lure.close();
  }
}
