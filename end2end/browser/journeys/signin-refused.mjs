// What a wallet refuses with is said in words, in the page, and the next try works.
export const title = "a wallet that refuses is told apart, and the next try works";

const TEXTS = [
  [4001, /declined/i],
  [4100, /account|permission|authori/i],
  [4900, /network|connect/i],
  [-32002, /open|waiting|already/i],
];

export async function run({ base, open, axe, check, shot }) {
  for (const dark of [false, true]) {
    const page = await open({ wallet: 0, width: dark ? 390 : 1280, dark });
    await page.goto("/signin?return=/docs");
    const button = page.getByRole("button", { name: "Harbour Wallet" });
    const status = page.locator("[data-freeside] [role=status]");
    const said = new Set();
    for (const [code, pattern] of TEXTS) {
      page.wallet.reject(code);
      const before = await status.innerText();
      await button.click();
      // The last word of a try stands when the place is at rest again.
      await page.locator('[data-freeside][aria-busy="false"] .fs-failed').waitFor();
      const text = await status.innerText();
      check(pattern.test(text), `${code} says what happened: "${text}" (before: "${before}")`);
      said.add(text);
      check.equal(new URL(page.url()).pathname, "/signin", `after ${code} one is still here`);
      if (code === 4001) {
        await axe(page, `a sign-in that was declined, ${dark ? "dark" : "light"}`);
        await shot(page, `declined-${dark ? "dark" : "light"}`);
      }
    }
    check.equal(said.size, TEXTS.length, "each refusal has words of its own");
    const { authenticated } = await page.evaluate(async () => (await fetch("/api/v1/siwe/session")).json());
    check(!authenticated, "nobody is signed in");
    page.wallet.reject();
    await button.click();
    await page.waitForURL(`${base}/docs`);
    await page.context().close();
  }
}
