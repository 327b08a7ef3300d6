// What journeys of administrators share.

/** Each page of a community. */
export const TABS = ["", "/caps", "/agents", "/routing", "/ledger", "/conservation", "/payments", "/reviews", "/settings"];

/** JSON of the server, asked with the cookies of `page`. */
export async function read(page, path) {
  const reply = await page.context().request.get(path);
  if (!reply.ok()) throw new Error(`${path}: ${reply.status()} ${await reply.text()}`);
  return reply.json();
}

/** A change, asked with the cookies of `page` and the origin that its browser would name. */
export async function send(page, base, path, data, headers = {}) {
  const url = new URL(path, base).href;
  const reply = await page.context().request.post(url, { headers: { origin: new URL(base).origin, ...headers }, data });
  if (!reply.ok()) throw new Error(`${path}: ${reply.status()} ${await reply.text()}`);
  return reply.json();
}

/** The community that `page`'s wallet signs up, which is its own to administer: its number, its path, its key. */
export async function signUp(page, base) {
  const { community_id: id, key } = await send(page, base, "/api/v1/developers/register", { name: "A community of one" });
  return { id, key, path: `/admin/${id}` };
}
