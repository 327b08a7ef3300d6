// Where the browser is: named by a variable, or on the path.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

// `xtask/src/install.rs` looks for the same.
const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The path of the program. */
export function program() {
  if (process.env.FREESIDE_CHROMIUM) return process.env.FREESIDE_CHROMIUM;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const found = folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find(isProgram);
  if (!found) throw new Error(`no browser: install chromium, or name one in FREESIDE_CHROMIUM (looked for ${NAMES.join(", ")})`);
  return found;
}
