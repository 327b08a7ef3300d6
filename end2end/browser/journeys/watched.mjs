// The harness itself: what a browser complains about is a fault, axe finds what is wrong, and the wallet really signs.
import { visitor } from "../lib/open.mjs";

export const title = "what goes wrong is seen, and the wallet signs in";

const BROKEN = `<!doctype html><title>Broken</title><link rel="icon" href="data:,"><img src="/no/such/picture.png">`;

/** Finds the wallets as a page does, and has one sign. Runs in the page. */
async function ask({ index, method, params }) {
  const found = [];
  addEventListener("eip6963:announceProvider", ({ detail }) => found.push(detail));
  dispatchEvent(new Event("eip6963:requestProvider"));
  const { info, provider } = found[index];
  try {
    return { name: info.name, icon: info.icon.slice(0, 11), result: await provider.request({ method, params }) };
  } catch (error) {
    return { name: info.name, code: error.code };
  }
}

export async function run({ base, browser, open, axe, check, signIn }) {
  const bad = visitor({ browser, base });
  const page = await bad.open();
  await page.route("**/broken", (route) => route.fulfill({ contentType: "text/html", body: BROKEN }));
  /** Does it, and waits until the browser has told of it. */
  const told = async (event, wanted, act) => {
    const comes = page.waitForEvent(event, wanted);
    await act();
    await comes;
  };
  const says = (text) => (message) => message.text().includes(text);
  await told("console", says("status of 404"), () => page.goto("/broken"));
  await told("console", says("a word"), () => page.evaluate(() => {
    console.warn("a warning");
    console.error("an error");
    console.log("a word");
  }));
  await told("pageerror", () => true, () => page.evaluate(() => void setTimeout(() => { throw new Error("thrown"); })));
  await told("requestfailed", () => true, () => page.evaluate(() => fetch("http://127.0.0.1:1/").catch(() => {})));
  for (const part of ["console warning: a warning", "console error: an error", "page error: Error: thrown", "status of 404", "request failed: GET http://127.0.0.1:1/"]) {
    check(bad.faults.some((fault) => fault.includes(part)), `"${part}" is among ${JSON.stringify(bad.faults)}`);
  }
  check(!bad.faults.some((fault) => fault.includes("a word")), "a word is no fault");
  bad.expectTrouble(/foreseen/);
  await told("console", says("foreseen"), () => page.evaluate(() => console.error("foreseen")));
  check(!bad.faults.some((fault) => fault.includes("foreseen")), "what is expected is no fault");
  const found = await axe(page, "a broken page").then(() => "", (error) => error.message);
  check(found.includes("image-alt") && found.includes("html-has-lang"), `axe finds the picture without words: ${found}`);
  await bad.close();

  const signed = await open({ wallet: [1, 0] });
  await signed.goto("/docs");
  const { address, addresses } = signed.wallet;
  const accounts = await signed.evaluate(ask, { index: 1, method: "eth_requestAccounts" });
  check.equal(accounts, { name: "Harbour Wallet", icon: "data:image/", result: [addresses[1].toLowerCase()] }, "the second wallet");
  signed.wallet.reject(4001);
  const params = ["0x68656c6c6f", address];
  check.equal((await signed.evaluate(ask, { index: 0, method: "personal_sign", params })).code, 4001, "a refusal");
  signed.wallet.reject();
  check((await signed.evaluate(ask, { index: 0, method: "personal_sign", params })).result.length === 132, "65 bytes of signature");
  check.equal(signed.wallet.calls.map(({ wallet, method }) => [wallet, method]), [[0, "eth_requestAccounts"], [1, "personal_sign"], [1, "personal_sign"]], "what was asked");
  // The server checks the signature: that is the proof that it is one.
  check.equal(await signIn(signed, 1), address, "who signed in");
  const session = await signed.evaluate(async () => (await fetch("/api/v1/siwe/session")).json());
  check.equal(session.address, address, "whose session it is");
}
