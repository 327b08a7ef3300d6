// The server is away when the chat is opened: the page around goes on, and one can try again.
import { host } from "../lib/host.mjs";
import { openShadow, widget } from "../lib/widget.mjs";

export const title = "a widget whose server is away says so and tries again";

export async function run({ base, open, axe, check, expectTrouble, shot }) {
  for (const width of [1280, 390]) {
    const shop = await host({ base });
    const page = await open({ width });
    await openShadow(page);
    // The watchdog waits by the page's own clock.
    await page.clock.install();
    await page.goto(shop.origin);
    const it = widget(page);
    await it.button.waitFor();
    expectTrouble(/ERR_CONNECTION_REFUSED/);
    await page.route("**/embed?*", (route) => route.abort("connectionrefused"));
    const failed = page.waitForEvent("requestfailed");
    await it.button.click();
    await failed;
    await page.clock.fastForward(20_000);
    const alert = page.getByRole("alert");
    await alert.getByText("The chat could not be loaded.").waitFor();
    check.equal(await alert.getByRole("link", { name: "Open in a tab" }).getAttribute("href"), `${base}/chat/demo/1`, "the other way");
    await axe(page, "a widget without its server");
    await shot(page, `away-${width}`);
    await page.unroute("**/embed?*");
    await alert.getByRole("button", { name: "Try again" }).click();
    await it.frame.getByRole("button", { name: "Sign in to chat" }).waitFor();
    await alert.waitFor({ state: "detached" });
    await page.clock.fastForward(20_000);
    check.equal(await page.getByRole("alert").count(), 0, "what has arrived is not taken for lost");
    await shop.close();
  }
}
