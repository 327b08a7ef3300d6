// The states of a chat that are no conversation: an error, an empty purse, a phone, the dark, a server that is away.
export const title = "errors, a phone and the dark: each state is said, accessible and fits";

async function ask(page, text) {
  const entry = page.getByRole("textbox", { name: /^Message to/ });
  await entry.fill(text);
  await entry.press("Enter");
}

export async function run({ open, axe, check, signIn, shot }) {
  for (const dark of [false, true]) {
    for (const width of [1280, 390]) {
      const how = `${dark ? "dark" : "light"}-${width}`;
      const page = await open({ dark, width });
      await signIn(page, 1);
      const draft = `What is for dinner, ${how}?`;
      await page.goto(`/chat/demo/5?ask=${encodeURIComponent(draft)}`);
      const entry = page.getByRole("textbox", { name: /^Message to/ });
      check.equal(await entry.inputValue(), draft, "what one wanted to ask");
      await axe(page, `before it is taken over, ${how}`);
      await page.getByRole("button", { name: "Send" }).click();
      const newest = (question) => page.locator(".fs-mine:nth-last-child(2)", { hasText: question }).locator("+ .fs-theirs");
      await newest(draft).locator(".fs-foot").waitFor();
      await ask(page, "!fail 500");
      await newest("!fail 500").locator(".fs-failed").waitFor();
      await page.getByRole("button", { name: "Try again" }).waitFor();
      await axe(page, `a failure, ${how}`);
      await check.fits(page, `a failure at ${width} px`);
      await shot(page, `failure-${how}`);
      await ask(page, "A list, please: !tokens 60 !pace 0");
      await newest("A list, please").locator(".fs-foot").waitFor();
      await axe(page, `a conversation, ${how}`);
      await page.reload();
      await axe(page, `a conversation as the server draws it, ${how}`);
      await shot(page, `stored-${how}`);
      await page.context().close();
    }
  }
}
