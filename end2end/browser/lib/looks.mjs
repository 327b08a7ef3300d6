// A page in every look that it has: both themes, desktop and phone.

/** `act(page, how)` in each look, each in a context of its own; `prepare(page)` before, for cookies. */
export async function inEachLook(open, prepare, act) {
  for (const dark of [false, true]) {
    for (const width of [1280, 390]) {
      const page = await open({ dark, width });
      await prepare(page);
      await act(page, `${dark ? "dark" : "light"}-${width}`);
      await page.context().close();
    }
  }
}
