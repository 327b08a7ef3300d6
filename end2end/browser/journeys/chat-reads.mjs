// Whoever only looks: nothing is downloaded for them, everything reads, on any screen and without JavaScript.
export const title = "an agent's page reads without a login, a module or JavaScript";

export async function run({ open, axe, check, expectTrouble, shot, api }) {
  expectTrouble(/Failed to load resource: the server responded with a status of 404/);
  for (const dark of [false, true]) {
    for (const width of [1280, 390]) {
      const page = await open({ dark, width });
      const how = `${dark ? "dark" : "light"}-${width}`;
      const requests = [];
      page.on("request", (request) => requests.push(new URL(request.url()).pathname));
      await page.goto("/chat/demo/4");
      check.equal(await page.locator("h1").innerText(), "Juno of the Tides", "who it is");
      await check.fits(page, `the page at ${width} px`);
      await axe(page, `an agent's page, ${how}`);
      await shot(page, how);
      // Whatever is touched, hovered or focused: no script and no module.
      await page.locator(".fs-panel").hover();
      await page.getByRole("link", { name: "Sign in to talk" }).focus();
      await page.waitForLoadState("networkidle");
      check.equal(requests.filter((path) => /\.(wasm|js)$/.test(path)), [], "what a reader downloads to run");
      await page.goto("/chat/demo/99");
      check((await page.locator("main").innerText()).includes("Nobody lives at this number"), "a designed 404");
      await axe(page, `an agent that is not there, ${how}`);
      await page.getByRole("link", { name: "Marrow Finch" }).click();
      await page.waitForURL("**/chat/demo/1");
      await page.goto("/agents");
      await check.fits(page, `the gallery at ${width} px`);
      await axe(page, `the gallery, ${how}`);
      await shot(page, `gallery-${how}`);
      await page.context().close();
    }
  }

  const reader = await open({ javascript: false });
  await reader.goto("/");
  await reader.getByRole("link", { name: "Nim", exact: true }).click();
  await reader.waitForURL("**/chat/demo/6");
  check((await reader.locator("main").innerText()).includes("Builds small machines out of large ideas."), "the profile reads");
  // What one wanted to ask goes along to the sign-in and comes back.
  const there = await reader.getByRole("link", { name: "Who are you?" }).getAttribute("href");
  check.equal(there, "/signin?return=%2Fchat%2Fdemo%2F6%3Fask%3DWho%2520are%2520you%253F", "the way to sign in");

  const short = await api("/chat/4", { headers: { accept: "text/html" } });
  const html = await short.text();
  check(html.includes('/chat/demo/4" rel') || html.includes('/chat/demo/4"'), "the short address names the long one");
  check(html.length <= 15 * 1024, `the page weighs ${html.length} bytes`);
  const picture = await api(html.match(/og:image" content="([^"]+)"/)[1]);
  check.equal([picture.status, picture.headers.get("content-type")], [200, "image/png"], "the picture of a link");
  check(picture.headers.get("cache-control").includes("immutable"), "it may be kept");
}
