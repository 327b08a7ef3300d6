// The account: what a wallet has, where it is signed in, and ending a session, with and without JavaScript.
export const title = "an account shows what a wallet has, and ends its sessions everywhere at once";

export async function run({ base, open, axe, check, signIn, shot }) {
  for (const [width, dark] of [[1280, false], [1280, true], [390, false], [390, true]]) {
    const how = `${dark ? "dark" : "light"}-${width}`;
    const nobody = await open({ width, dark });
    await nobody.goto("/account");
    await nobody.getByRole("heading", { name: "Your account is your wallet" }).waitFor();
    await axe(nobody, `the account of nobody, ${how}`);
    await check.fits(nobody, `the account of nobody at ${width} px`);
    await shot(nobody, `nobody-${how}`);
    await nobody.context().close();
  }

  const desk = await open();
  const phone = await open({ width: 390, dark: true });
  const reader = await open({ javascript: false });
  const address = await signIn(desk, 1);
  // By hand a server may be asked twice: the wallet starts anew.
  await desk.context().request.delete("/api/v1/sessions", { headers: { origin: base } });
  await signIn(desk, 1);
  await signIn(phone, 1);
  await signIn(reader, 1);
  await desk.goto("/account");
  check((await desk.locator("main").innerText()).includes(address), "the account names the whole wallet");
  check.equal(await desk.locator(".sessions li").count(), 3, "places");
  check.equal(await desk.locator(".sessions .status").count(), 1, "places that are this one");
  await axe(desk, "the account, light");
  await shot(desk, "account-light-1280");
  await phone.goto("/account");
  await axe(phone, "the account, dark on a phone");
  await check.fits(phone, "the account on a phone");
  await shot(phone, "account-dark-390");

  // From a browser without JavaScript, one other place and then every place.
  await reader.goto("/account");
  check((await reader.locator("main").innerText()).includes("Where you are signed in"), "the account reads without JavaScript");
  // Newest first: this one, the phone, the desk.
  await reader.locator(".sessions li").nth(1).getByRole("button").click();
  await reader.waitForURL(`${base}/account#sessions`);
  check.equal(await reader.locator(".sessions li").count(), 2, "places after one was ended");
  await phone.reload();
  await phone.getByRole("heading", { name: "Your account is your wallet" }).waitFor();
  await phone.locator("header").getByRole("link", { name: "Sign in", exact: true }).waitFor();
  const { authenticated } = await desk.evaluate(async () => (await fetch("/api/v1/siwe/session")).json());
  check(authenticated, "the others go on");

  // By keyboard: a click would wait for the way down to #sessions to stand still, which a page behind others never does.
  await reader.getByRole("button", { name: "Sign out everywhere, here too" }).press("Enter");
  await reader.waitForURL(`${base}/account`);
  check((await reader.locator("main").innerText()).includes("Your account is your wallet"), "nobody is signed in here");
  const after = await desk.evaluate(async () => (await fetch("/api/v1/siwe/session")).json());
  check(!after.authenticated, "nor at the desk");

  await reader.goto("/signin");
  check((await reader.locator("main").innerText()).includes("needs JavaScript"), "without JavaScript the sign-in says what it needs");
}
