// What one does with the widget on somebody else's page.

/** The launcher's shadow is closed; opened, the tests see what is in it. Before the page is gone to. */
export const openShadow = (page) => page.addInitScript(() => {
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (how) {
    return attach.call(this, { ...how, mode: "open" });
  };
});

/** The widget on `page`, whose shadow is open: its button, its panel, and the frame's document once it is there. */
export function widget(page) {
  const root = page.locator("freeside-chat");
  const frame = page.frameLocator("freeside-chat iframe");
  return {
    root,
    frame,
    button: root.locator("button.b"),
    badge: root.locator(".n"),
    panel: root.locator(".p"),
    /** The frame itself, for axe and for what runs in it. */
    document: async () => (await root.locator("iframe").elementHandle()).contentFrame(),
  };
}

/** Signs in from the frame, through its popup, with the page's wallet. */
export async function signIn(page, { frame }) {
  const opened = page.waitForEvent("popup");
  await frame.getByRole("button", { name: "Sign in to chat" }).click();
  const popup = await opened;
  const closed = popup.waitForEvent("close");
  await popup.getByRole("button", { name: "Harbour Wallet" }).click();
  await closed;
  await frame.getByRole("textbox").waitFor();
}

/** Asks from the frame. */
export async function ask({ frame }, text) {
  await frame.getByRole("textbox").fill(text);
  await frame.getByRole("textbox").press("Enter");
}

/** Waits until so many answers are at their end, seen or not. */
export const finished = ({ frame }, count = 1) => frame.locator(".fs-foot").nth(count - 1).waitFor({ state: "attached" });
