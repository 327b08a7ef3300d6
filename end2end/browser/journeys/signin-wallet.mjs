// A wallet signs in where it wanted to be, and out again by a form; the session in between is the server's.
export const title = "a wallet signs in, goes on where it wanted to be, and signs out";

export async function run({ base, open, axe, check, shot }) {
  for (const [width, dark] of [[1280, false], [390, true]]) {
    const how = `${dark ? "dark" : "light"}-${width}`;
    const page = await open({ wallet: 0, width, dark });
    await page.goto("/docs/api?from=here");
    await axe(page, `a page for nobody, ${how}`);
    await page.getByRole("link", { name: "Sign in", exact: true }).click();
    await page.getByRole("button", { name: "Harbour Wallet" }).waitFor();
    check(page.url() === `${base}/signin?return=%2Fdocs%2Fapi%3Ffrom%3Dhere`, "the sign-in knows the way back");
    await axe(page, `the sign-in, ${how}`);
    await check.fits(page, `the sign-in at ${width} px`);
    await shot(page, `wallets-${how}`);

    await page.getByRole("button", { name: "Harbour Wallet" }).click();
    await page.waitForURL(`${base}/docs/api?from=here`);
    const short = `${page.wallet.address.slice(0, 6)}…${page.wallet.address.slice(-4)}`;
    const head = page.locator("header .who");
    check((await head.innerText()).includes(short), `the head names ${short}`);
    await axe(page, `a page for somebody, ${how}`);
    await check.fits(page, `the head at ${width} px`);
    await shot(page, `signed-in-${how}`);
    const signed = page.wallet.calls.find(({ method }) => method === "personal_sign");
    const text = Buffer.from(signed.params[0].slice(2), "hex").toString();
    check(text.startsWith(`${new URL(base).host} wants you to sign in with your Ethereum account:\n${page.wallet.address}\n`), "what was signed names this page and the wallet");
    const { authenticated, address } = await page.evaluate(async () => (await fetch("/api/v1/siwe/session")).json());
    check(authenticated && address === page.wallet.address, "the server knows the wallet");

    await page.goto("/signin?return=/docs");
    const on = page.getByRole("link", { name: `Go on as ${short}` });
    await on.waitFor();
    await axe(page, `the sign-in of somebody, ${how}`);
    await shot(page, `again-${how}`);
    await on.click();
    await page.waitForURL(`${base}/docs`);

    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("link", { name: "Sign in", exact: true }).waitFor();
    check.equal(page.url(), `${base}/docs`, "signing out leads back");
    const after = await page.evaluate(async () => (await fetch("/api/v1/siwe/session")).json());
    check(!after.authenticated, "the session is over");
    check.equal(await page.context().cookies().then((cookies) => cookies.filter(({ name }) => name === "freeside").length), 0, "cookies of a session");
    await page.context().close();
  }

  // No way on leads to another site: the account instead.
  const wary = await open({ wallet: 1 });
  for (const evil of ["//evil.example", "/\\evil.example", "/%5Cevil.example", "https://evil.example", "/%09/evil.example", "/signin?mode=popup"]) {
    await wary.goto(`/signin?return=${encodeURIComponent(evil)}`);
    check.equal(await wary.locator("[data-freeside]").getAttribute("data-return"), "/account", `the way on from ${evil}`);
  }
  await wary.getByRole("button", { name: "Lighthouse Wallet" }).click();
  await wary.waitForURL(`${base}/account`);
}
