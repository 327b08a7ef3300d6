// Starts the browser.
import { chromium } from "playwright-core";
import { program } from "./program.mjs";

// Quiet, and the same each time: nothing is fetched but what a journey asks for.
const FLAGS = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];

/** A browser without a window. `more` are flags that a journey needs. */
export function launch(more = []) {
  return chromium.launch({
    executablePath: program(),
    args: [...FLAGS, ...more],
    // Chromium's sandbox refuses to work for root, which is who runs tests in a container. It stays on for everybody else.
    chromiumSandbox: process.getuid() !== 0,
  });
}
