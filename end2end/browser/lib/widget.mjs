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

let asked = 0;

/** Asks from the frame, and answers what was asked: the text with a mark of its own, so that its answer can be told. */
export async function ask({ frame }, text) {
  const marked = `${text} [${process.pid}.${(asked += 1)}]`;
  await frame.getByRole("textbox").fill(marked);
  await frame.getByRole("textbox").press("Enter");
  return marked;
}

/** The foot of the answer to what was asked: it is there when the answer is at its end. */
const foot = ({ frame }, marked) => frame.locator(".fs-mine", { hasText: marked }).locator("xpath=following-sibling::*[1]").locator(".fs-foot");

/** Waits until the answer to what was asked is at its end, seen or not. */
export const finished = (it, marked) => foot(it, marked).waitFor({ state: "attached" });

/** Whether it is. */
export const isFinished = async (it, marked) => (await foot(it, marked).count()) > 0;
