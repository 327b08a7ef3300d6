// A person talks to an agent on its page: asks, watches, stops, asks again, reloads in the middle, rates.
export const title = "an answer streams, stops, is asked again, survives a reload, and says what it cost";

const PAGE = "/chat/demo/3";

/** Counts what a screen reader would be told. */
function listen() {
  window.told = [];
  new MutationObserver(() => window.told.push(document.querySelector(".fs [role=status]")?.textContent))
    .observe(document.querySelector(".fs [role=status]"), { childList: true, characterData: true, subtree: true });
}

const answer = (page, at = -1) => page.locator(".fs-theirs").nth(at);
const done = (page, count) => page.locator(".fs-theirs .fs-foot").nth(count - 1).waitFor();

async function ask(page, text) {
  const entry = page.getByRole("textbox", { name: /^Message to/ });
  await entry.fill(text);
  await entry.press("Enter");
}

export async function run({ open, axe, check, signIn, shot }) {
  const page = await open();
  const requests = [];
  page.on("request", (request) => requests.push(new URL(request.url()).pathname));
  const modules = () => requests.filter((path) => path.endsWith(".wasm")).length;
  await signIn(page, 0);
  await page.goto(PAGE);
  await page.waitForLoadState("networkidle");
  check.equal(modules(), 0, "modules before anything is wanted");
  await axe.everywhere(page, "the empty chat");
  await shot(page, "empty");

  // The first press on something that the server drew does it, module or not.
  await page.getByRole("button", { name: "Who are you?" }).click();
  await done(page, 1);
  check.equal(modules(), 1, "modules once somebody talks");
  check((await answer(page).innerText()).includes("You wrote: Who are you?"), "the answer is to what was asked");
  const facts = await answer(page).locator(".fs-facts").innerText();
  check(/\$0\.0\d+/.test(facts) && /cheap|standard|reasoning|architect|flagship/.test(facts), `pool and cost stand below: ${facts}`);

  // One announcement for each finished answer, none while it grows.
  await page.evaluate(listen);
  await ask(page, "A long one !tokens 120 !pace 10");
  await page.locator(".fs-theirs").nth(1).locator(".fs-answer p").waitFor();
  check.equal(await page.evaluate(() => window.told.length), 0, "announcements while it grows");
  check.equal(await page.getByRole("group", { name: "Conversation" }).or(page.getByRole("log")).getAttribute("aria-busy"), "true", "aria-busy while it grows");
  await done(page, 2);
  const told = await page.evaluate(() => window.told);
  check.equal(told.length, 1, "announcements of a finished answer");
  check(told[0].startsWith("Ferro Quill: "), `it says who speaks: ${told[0]}`);

  // Stopped, it keeps what was said, says so, and costs what it cost.
  await ask(page, "Never ending !tokens 2000 !pace 30");
  await page.locator(".fs-theirs").nth(2).locator(".fs-answer p").waitFor();
  await page.getByRole("button", { name: "Stop the answer" }).click();
  await done(page, 3);
  check((await answer(page).innerText()).includes("Stopped."), "a stopped answer says so");
  check(/\$0\.0\d+/.test(await answer(page).locator(".fs-facts").innerText()), "what was said of it has a price");
  await axe.everywhere(page, "a conversation");
  await shot(page, "conversation");

  await answer(page).getByRole("button", { name: "Ask again" }).click();
  await page.locator(".fs-theirs").nth(3).locator(".fs-answer p").waitFor();
  // Away in the middle: the answer goes on, and the page takes it up where it is.
  await page.reload();
  const entry = page.getByRole("textbox", { name: /^Message to/ });
  await entry.focus();
  await page.getByRole("button", { name: "Stop the answer" }).waitFor();
  await page.getByRole("button", { name: "Stop the answer" }).click();
  await done(page, 4);
  check.equal(await page.locator(".fs-mine").count(), 4, "questions after the reload");

  // A whole one, left and found again: not a token lost, none doubled.
  await ask(page, "Count with me !tokens 200 !pace 15");
  await page.locator(".fs-theirs").nth(4).locator(".fs-answer p").waitFor();
  await page.reload();
  await page.getByRole("textbox", { name: /^Message to/ }).focus();
  await done(page, 5);
  await page.getByRole("button", { name: "Send" }).waitFor();
  const resumed = await answer(page).locator(".fs-answer").innerText();
  await page.reload();
  const stored = await answer(page).locator(".fs-answer").innerText();
  check.equal(stored.trim(), resumed.trim(), "what was watched and what is stored");
  const said = await page.evaluate(async () => (await fetch("/api/v1/agents/demo/3/history?whose=own&limit=1")).json());
  check.equal(said.turns[0].answer.trim().replace(/\s+/g, " "), resumed.trim().replace(/\s+/g, " "), "what the history has");

  // Rated, and the rating is still there after a reload, without the module.
  await answer(page).getByRole("button", { name: "Good answer" }).click();
  await page.waitForLoadState("networkidle");
  await page.locator(".fs-theirs").last().locator("[aria-pressed=true]").waitFor();
  await page.goto(PAGE);
  check.equal(await answer(page).getByRole("button", { name: "Good answer" }).getAttribute("aria-pressed"), "true", "the rating");
  check((await page.content()).length > 0, "the page is there");
}
