// A development server brings wallets for trying: they sign for real and take the way that every wallet takes.
export const title = "wallets for trying sign in on a development server";

export async function run({ base, open, axe, check, shot }) {
  const page = await open();
  const tried = new Set();
  for (const name of ["Demo wallet: tier 8, administrator", "Demo wallet: tier 2", "Burner wallet of this browser"]) {
    await page.goto("/signin?return=/account");
    const wallet = page.getByRole("button", { name });
    await wallet.waitFor();
    await axe.everywhere(page, "wallets for trying");
    await shot(page, "wallets");
    await wallet.click();
    await page.waitForURL(`${base}/account`);
    tried.add(await page.locator("#address").innerText());
  }
  check.equal(tried.size, 3, "wallets");
  check(tried.has("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266") && tried.has("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"), "two are those of every local test chain");
  const [burner] = [...tried].slice(-1);
  await page.goto("/signin?return=/account");
  await page.getByRole("button", { name: /Burner wallet/ }).click();
  await page.waitForURL(`${base}/account`);
  check.equal(await page.locator("#address").innerText(), burner, "a browser keeps its burner");
}
