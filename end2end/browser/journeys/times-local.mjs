// Moments in the reader's own zone: by a press on the zone's name, kept by the browser, and taken back the same way.

export const title = "times turn into the reader's own zone, stay there, and turn back";

const ZONE = "Asia/Tokyo";
const AHEAD_MS = 9 * 3_600_000;

/** What stands in each moment of the page, and what should: nine hours ahead of what a machine reads there. */
async function moments(page, ahead) {
  const read = await page.locator("time[datetime*=T]").evaluateAll((all) => all.map((one) => [one.dateTime, one.textContent]));
  return read.map(([exact, text]) => {
    const whole = new Date(Date.parse(exact) + ahead).toISOString().slice(0, 19).replace("T", " ");
    return { text, wanted: text.length === 5 ? whole.slice(11, 16) : whole.slice(0, text.length) };
  });
}

export async function run({ open, signIn, axe, check }) {
  const page = await open({ timezoneId: ZONE });
  await signIn(page, 0);
  const are = async (ahead, text) => {
    const all = await moments(page, ahead);
    check(all.length > 0, `${text}: there are moments on ${page.url()}`);
    for (const { text: seen, wanted } of all) check.equal(seen, wanted, text);
  };
  await page.goto("/account");
  await page.getByRole("button", { name: "UTC" }).first().waitFor();
  await are(0, "the server's own");
  await page.getByRole("button", { name: "UTC" }).first().focus();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: ZONE }).first().waitFor();
  await are(AHEAD_MS, "the reader's own");
  await axe.everywhere(page, "times in the reader's own zone");

  // Elsewhere and later, too.
  await page.goto("/admin/demo");
  await page.getByRole("button", { name: ZONE }).first().waitFor();
  await are(AHEAD_MS, "on another page");
  await page.getByRole("button", { name: ZONE }).first().click();
  await page.getByRole("button", { name: "UTC" }).first().waitFor();
  await are(0, "turned back");
  await page.reload();
  await page.getByRole("button", { name: "UTC" }).first().waitFor();
  await are(0, "and it stays so");
}
