// Signs a page in without its sign-in page, for journeys about something else.
import { ADDRESSES, sign } from "./wallet.mjs";

/** `signIn(page)`, `signIn(page, 1)`: the page's context is the demo wallet's from here on. Answers its address. */
export function signer(base) {
  return async (page, index = 0) => {
    const { request } = page.context();
    const headers = { origin: new URL(base).origin };
    const asked = await request.post(new URL("/api/v1/siwe/nonce", base).href, { headers });
    if (!asked.ok()) throw new Error(`no nonce: ${asked.status()} ${await asked.text()}`);
    const { message, chain_ids } = await asked.json();
    const text = message.replace("{address}", ADDRESSES[index]).replace("{chain_id}", String(chain_ids[0]));
    const data = { message: text, signature: sign(index, text) };
    const verified = await request.post(new URL("/api/v1/siwe/verify", base).href, { headers, data });
    if (!verified.ok()) throw new Error(`not signed in: ${verified.status()} ${await verified.text()}`);
    return ADDRESSES[index];
  };
}
