// The widget in a real browser against `fake.mjs`. Any console error or warning is a failure.
//   node journeys.mjs FOLDER [SCREENSHOTS]      FOLDER holds panel.js, panel.css, widget_bg.wasm, loader.js
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { serve } from "./fake.mjs";

const [folder, shots] = process.argv.slice(2);
const ANSWER = `Here is a **short** answer with \`code\` and a [link](https://example.com/a "t").

## A list

1. First point, with *stress*
2. Second point
   - nested one
   - nested two

| Pool | Price per million |
|:-----|------:|
| cheap | $0.10 |
| flagship | $12.00 |

\`\`\`rust
fn main() {
    println!("{}", "a line that is rather long, so that the block has to scroll sideways on a phone");
}
\`\`\`

> Quoted wisdom, <script>window.broken = 1</script> [never](javascript:alert(1)) ![x](https://evil.example/p.png)

That is all.`;

const server = await serve({ folder, answer: ANSWER });
const home = `http://127.0.0.1:${server.port}`;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"] });

async function journey(name, options, run) {
  const { expected, ...context } = options;
  const visitor = await browser.newContext({ viewport: { width: 900, height: 760 }, ...context });
  const page = await visitor.newPage();
  const faults = [];
  const watch = (page) => {
    page.on("console", (message) => {
      const isFault = ["error", "warning"].includes(message.type()) && !expected?.test(message.text());
      if (isFault) faults.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => faults.push(`page: ${error.stack}`));
  };
  watch(page);
  visitor.on("page", watch);
  try {
    await run(page, (part) => shots && page.screenshot({ path: `${shots}/${name}-${part}.png` }));
    assert.deepEqual(faults, [], "the console is quiet");
    console.log(`ok   ${name}`);
  } catch (error) {
    console.log(`FAIL ${name}\n${error.stack}\n${faults.join("\n")}`);
    if (shots) await page.screenshot({ path: `${shots}/${name}-failed.png` });
    process.exitCode = 1;
  }
  await visitor.close();
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Every rule of axe, in a page or a frame. */
async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const faults = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html}\n${failureSummary}`).join("\n")}`);
  assert.deepEqual(faults, [], `${what} is accessible`);
}

const ask = async (page, text) => {
  await page.getByRole("textbox").fill(text);
  await page.keyboard.press("Enter");
};
const finished = (page, count = 1) => page.locator(".fs-foot").nth(count - 1).waitFor({ timeout: 20_000 });

await journey("answer", {}, async (page, shot) => {
  await page.goto(`${home}/chat`);
  await page.getByRole("button", { name: "Who are you?" }).waitFor();
  await shot("empty");
  await accessible(page, "the empty panel");
  await page.evaluate(() => {
    window.spoken = 0;
    new MutationObserver((changes) => (window.spoken += changes.length)).observe(document.querySelector("[role=status]"), { childList: true, characterData: true, subtree: true });
  });
  await ask(page, "hello\nwith a second line");
  await page.locator("h3").waitFor();
  assert.equal(await page.getByRole("log").getAttribute("aria-busy"), "true");
  await shot("streaming");
  await finished(page);
  await shot("done");
  await accessible(page, "an answer");
  const answer = page.locator(".fs-answer");
  assert.equal(await answer.locator("script, img, [onclick], [onerror]").count(), 0);
  const links = await answer.locator("a").evaluateAll((links) => links.map((link) => [link.href, link.rel, link.target]));
  assert.deepEqual(links.map(([href]) => href), ["https://example.com/a", "https://evil.example/p.png"]);
  assert.ok(links.every(([, rel, target]) => rel.includes("nofollow") && rel.includes("noopener") && target === "_blank"));
  assert.equal(await page.evaluate(() => window.spoken), 1, "a finished answer is said once");
  assert.match(await page.locator(".fs-facts").innerText(), /cheap[\s\S]*\$0\.001742/);
  await page.getByRole("button", { name: "Good answer" }).click();
  await page.locator('[data-do=good][aria-pressed="true"]').waitFor();
  assert.ok(server.requests.some(({ path, body }) => path.endsWith("/feedback") && body.includes("good")));
});

await journey("stop", {}, async (page, shot) => {
  await page.goto(`${home}/chat`);
  await ask(page, "a long one");
  await page.locator("h3").waitFor();
  await page.getByRole("button", { name: "Stop the answer" }).click();
  await page.getByText("Stopped.", { exact: true }).waitFor();
  await shot("stopped");
  const before = await page.locator(".fs-answer").innerText();
  await page.getByRole("button", { name: "Ask again" }).click();
  await page.getByRole("button", { name: "Stop the answer" }).click();
  await finished(page, 2);
  assert.equal(await page.locator(".fs-answer").first().innerText(), before);
});

await journey("cut", { expected: /WebSocket connection/ }, async (page) => {
  await page.goto(`${home}/chat`);
  await ask(page, "cut me");
  for (const part of ["h3", "table", "blockquote"]) {
    await page.locator(part).first().waitFor();
    await page.evaluate(() => fetch("/test/cut", { method: "POST" }));
  }
  await finished(page);
  const frames = [...server.answers.values()].at(-1).frames;
  assert.equal(frames.filter(({ type }) => type === "stream_start").length, 1, "it was asked once");
  const cut = await page.locator(".fs-answer").innerHTML();
  await ask(page, "whole");
  await finished(page, 2);
  assert.equal(await page.locator(".fs-answer").nth(1).innerHTML(), cut, "nothing is lost and nothing doubled");
});

await journey("reload", {}, async (page) => {
  await page.goto(`${home}/chat`);
  const asked = server.answers.size;
  await ask(page, "read me again");
  await page.locator("h3").waitFor();
  await page.reload();
  await page.locator("h3").waitFor();
  await finished(page);
  assert.equal(server.answers.size, asked + 1, "it was asked once");
});

await journey("drain", {}, async (page) => {
  await page.goto(`${home}/chat`);
  await ask(page, "before");
  await page.locator("h3").waitFor();
  await page.evaluate(() => fetch("/test/drain", { method: "POST" }));
  await finished(page);
  await ask(page, "after");
  await finished(page, 2);
});

await journey("broke", {}, async (page, shot) => {
  await page.goto(`${home}/chat`);
  await ask(page, "broke");
  await page.getByRole("link", { name: "Buy credits" }).waitFor();
  await shot("credits");
  await accessible(page, "a refusal");
});

await journey("dark", { colorScheme: "dark" }, async (page, shot) => {
  await page.goto(`${home}/chat?accent=%237a3fb0`);
  await page.getByRole("button", { name: "Who are you?" }).waitFor();
  await shot("empty");
  await ask(page, "in the dark");
  await finished(page);
  await shot("done");
  await accessible(page, "an answer in the dark");
});

await journey("phone", { viewport: { width: 390, height: 800 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true, reducedMotion: "reduce" }, async (page, shot) => {
  await page.goto(`${home}/chat`);
  await ask(page, "a long one on a phone");
  await finished(page);
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390, "nothing is wider than the phone");
  await shot("done");
  await page.getByRole("log").evaluate((log) => log.scrollTo(0, 0));
  await page.getByRole("button", { name: "Go to the newest message" }).click();
  await shot("end");
});

await journey("rtl", {}, async (page, shot) => {
  await page.goto(`${home}/chat`);
  await page.evaluate(() => (document.documentElement.dir = "rtl"));
  await ask(page, "مرحبا، كيف حالك؟");
  await finished(page);
  await shot("done");
});

await journey("profile", {}, async (page, shot) => {
  await page.goto(`${home}/chat?out=1`);
  await page.getByRole("button", { name: "Sign in to chat" }).waitFor();
  assert.equal(await page.getByRole("textbox").count(), 0);
  await shot("out");
  await accessible(page, "the profile");
  await page.goto(`${home}/chat?out=1&load=intent`);
  const isModule = ({ path }) => path === "/widget_bg.wasm";
  const before = server.requests.filter(isModule).length;
  await page.waitForLoadState("networkidle");
  assert.equal(server.requests.filter(isModule).length, before, "no module before it is wanted");
});

await journey("signin", {}, async (page, shot) => {
  await page.addInitScript(() => {
    const calls = (window.calls = []);
    const provider = { request: async ({ method, params }) => {
      calls.push({ method, params });
      if (method === "eth_requestAccounts") return ["0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"];
      if (method === "eth_chainId") return "0x2105";
      if (!window.willing) throw { code: 4001, message: "rejected" };
      return "0x" + "11".repeat(65);
    } };
    const icon = "data:image/svg+xml," + encodeURIComponent('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8" rx="2" fill="#d66a2c"/></svg>');
    const announce = (name, icon) => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info: { uuid: name, rdns: `test.${name}`, name, icon }, provider }) }));
    window.addEventListener("eip6963:requestProvider", () => { announce("Harbour Wallet", icon); announce("Foreign Icon", "https://evil.example/icon.png"); announce("Harbour Wallet", icon); });
  });
  await page.goto(`${home}/signin?return=/chat`);
  await page.getByRole("button", { name: "Harbour Wallet" }).waitFor();
  assert.equal(await page.getByRole("button").count(), 2);
  await shot("wallets");
  await page.getByRole("button", { name: "Harbour Wallet" }).click();
  await page.getByText("You declined in your wallet.").waitFor();
  await shot("declined");
  await accessible(page, "the sign-in");
  await page.evaluate(() => (window.willing = true));
  await page.getByRole("button", { name: "Harbour Wallet" }).click();
  await page.waitForURL(`${home}/chat`);
  const { message } = JSON.parse(server.requests.findLast(({ path }) => path.endsWith("/verify")).body);
  assert.match(message, /\n0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n[\s\S]*\nChain ID: 8453\n/);
  await page.goto(`${home}/signin?return=//evil.example`);
  assert.match(await page.getByRole("button").first().innerText(), /Harbour Wallet\s*Last used/);
});

for (const [name, options] of [["widget", {}], ["widget-phone", { viewport: { width: 390, height: 800 } }]]) {
  await journey(name, options, async (page, shot) => {
    await page.goto(`http://localhost:${server.port}/host?home=${encodeURIComponent(home)}`);
    // The launcher's shadow is closed: it is used as a person does, by keyboard.
    await page.waitForFunction(() => document.querySelector("freeside-chat"));
    await shot("closed");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    const frame = () => page.frames().find((frame) => frame.url().startsWith(`${home}/embed`));
    while (!frame()) await page.waitForEvent("framenavigated");
    await frame().getByRole("button", { name: "Sign in to chat" }).waitFor();
    await shot("open");
    await accessible(frame(), "the frame");
    await accessible(page, "the page around");
    const popup = page.waitForEvent("popup");
    await frame().getByRole("button", { name: "Sign in to chat" }).click();
    const signin = await popup;
    assert.match(signin.url(), /\/signin\?mode=popup&challenge=[\w-]{43}$/);
    await signin.evaluate(() => window.opener.postMessage({ freeside: "code", code: "c".repeat(40) }, location.origin));
    await frame().getByRole("button", { name: "Who are you?" }).waitFor();
    await signin.close();
    await frame().getByRole("textbox").fill("from a shop");
    await frame().getByRole("textbox").press("Enter");
    await frame().locator(".fs-foot").waitFor({ timeout: 20_000 });
    await shot("chat");
    // Closed while an answer is on its way: the badge counts it.
    await frame().getByRole("textbox").fill("and one more");
    await frame().getByRole("textbox").press("Enter");
    await frame().getByRole("textbox").press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement?.localName), "freeside-chat", "the focus is back");
    await frame().locator(".fs-foot").nth(1).waitFor({ state: "attached", timeout: 20_000 });
    await page.waitForTimeout(100);
    await shot("unread");
  });
}

await browser.close();
server.close();
