// Opens pages for a journey and watches them: whatever a browser complains about is a fault.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "./wallet.mjs";

/** How long one thing that has to happen may take on a machine that compiles beside it: a limit, never a wait. */
const PATIENCE_MS = 60_000;
/** What Chromium says of a fetch that nobody wants any more: no reason follows. One that fails fails as a request. */
const ABANDONED = /^Fetch API cannot load \S+\.\s*$/;
/** Narrower is a phone. */
const PHONE = 600;

/** The pages of one journey. */
export function visitor({ browser, base }) {
  const contexts = [];
  const faults = [];
  const expected = [];

  const complain = (page, text) => {
    if (!expected.some((pattern) => pattern.test(text))) faults.push(`${page?.url() ?? "?"}: ${text}`);
  };
  const watch = (page) => {
    page.on("console", (message) => {
      const isComplaint = ["error", "warning"].includes(message.type()) && !ABANDONED.test(message.text());
      if (isComplaint) complain(page, `console ${message.type()}: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => complain(page, `page error: ${error.stack ?? error}`));
    page.on("crash", () => complain(page, "the page crashed"));
    page.on("requestfailed", (request) => {
      const text = request.failure()?.errorText ?? "failed";
      // Given up by whoever asked (a page that was left, a download): nothing went wrong.
      if (text !== "net::ERR_ABORTED") complain(page, `request failed: ${request.method()} ${request.url()}: ${text}`);
    });
  };

  /**
   * A page in a context of its own, on nothing yet: `page.goto("/docs")`.
   * `wallet`: 0, 1, or both in an order; then `page.wallet` is there. `reject`: see `wallet.mjs`. What else is given goes
   * to Playwright's `newContext`.
   */
  async function open({ width = 1280, dark = false, javascript = true, wallet = null, reject = null, ...more } = {}) {
    const isPhone = width < PHONE;
    const context = await browser.newContext({
      baseURL: base,
      viewport: { width, height: isPhone ? 844 : 900 },
      colorScheme: dark ? "dark" : "light",
      javaScriptEnabled: javascript,
      isMobile: isPhone,
      hasTouch: isPhone,
      locale: "en-GB",
      ...more,
    });
    contexts.push(context);
    context.setDefaultTimeout(PATIENCE_MS);
    context.on("page", watch);
    const held = wallet === null ? null : await inject(context, [wallet].flat(), reject);
    const page = await context.newPage();
    if (held) page.wallet = held;
    return page;
  }

  /** From here on, complaints that match are no faults. */
  const expectTrouble = (pattern) => void expected.push(pattern);

  /** A picture and the HTML of each page that is still open. */
  async function keep(folder, name) {
    mkdirSync(folder, { recursive: true });
    const kept = [];
    for (const page of contexts.flatMap((context) => context.pages())) {
      const path = join(folder, `${name}-${kept.length + 1}`);
      try {
        await page.screenshot({ path: `${path}.png`, fullPage: true, timeout: 10_000 });
        writeFileSync(`${path}.html`, `<!-- ${page.url()} -->\n${await page.content()}`);
        kept.push(`${page.url()}: ${path}.png, ${path}.html`);
      } catch (error) {
        kept.push(`${page.url()}: no picture: ${error.message}`);
      }
    }
    return kept;
  }

  const close = () => Promise.all(contexts.map((context) => context.close()));
  return { open, expectTrouble, faults, keep, close };
}
