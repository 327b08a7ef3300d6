// What `docs/screenshots/` shows: one line for each picture. The first `wallet` is signed in, unless `signedIn`
// says no; `prepare` does what a person would do before it; `path` may be a function of what `furnish` made.
import { randomUUID } from "node:crypto";

export const SCENES = [
  { name: "home", path: "/" },
  { name: "agents", path: "/agents" },
  { name: "agent", path: "/chat/demo/4" },
  { name: "chat", path: "/chat/demo/1", wallet: 0 },
  { name: "signin", path: "/signin?return=/chat/demo/1", wallet: [1, 0], signedIn: false },
  { name: "developers", path: "/developers" },
  { name: "usage", path: "/developers/account", wallet: 0 },
  { name: "requests", path: "/developers/requests", wallet: 0 },
  { name: "playground", path: "/developers/playground", wallet: 0 },
  { name: "checkout", path: ({ order }) => `/checkout/${order}`, wallet: 0 },
  { name: "admin", path: "/admin/demo", wallet: 0 },
  { name: "ledger", path: "/admin/demo/ledger", wallet: 0 },
  { name: "docs", path: "/docs" },
  { name: "api", path: "/docs/api/openai" },
  { name: "problem", path: "/problems/insufficient-credits" },
  { name: "not-found", path: "/no/such/page", status: 404 },
];

/** Of different length, so that costs differ. */
const QUESTIONS = [
  ["demo:1", "How do I get from the harbour to the old observatory?"],
  ["demo:1", "And on foot, if the tide is in?"],
  ["demo:2", "Something for a cough, please, and tell me why it helps. !tokens 120"],
  ["demo:4", "What will the weather do tonight? !tokens 60"],
];

/** Asks over the chat's socket as the page would, and waits for the end. Runs in a page of a signed-in wallet. */
async function ask([tokenId, message]) {
  const { ticket } = await (await fetch("/api/v1/ws/ticket", { method: "POST" })).json();
  const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws/chat?tokenId=${tokenId}`);
  const frames = [];
  await new Promise((done, failed) => {
    const say = (type, payload) => socket.send(JSON.stringify({ type, payload }));
    socket.onerror = () => failed(new Error("the socket failed"));
    socket.onclose = () => failed(new Error(`closed: ${JSON.stringify(frames)}`));
    socket.onmessage = ({ data }) => {
      const { type, payload } = JSON.parse(data);
      frames.push(type);
      if (type === "welcome" && !payload.authenticated) say("auth", { ticket });
      if (type === "welcome" && payload.authenticated) say("chat", { message, requestId: crypto.randomUUID() });
      if (type === "stream_end") done();
      if (type === "error") failed(new Error(JSON.stringify(payload)));
    };
  });
  socket.onclose = null;
  socket.close();
}

/** A wallet that is also a developer and is about to pay, and another one; both have chatted. */
export async function furnish({ base, api, open, signIn }) {
  const page = await open();
  await signIn(page, 0);
  const headers = { origin: new URL(base).origin };
  const post = async (path, data, more = {}) => {
    const answer = await page.context().request.post(path, { data, headers: { ...headers, ...more } });
    if (!answer.ok()) throw new Error(`${path}: ${answer.status()} ${await answer.text()}`);
    return answer.json();
  };
  const { key } = await post("/api/v1/developers/register", { name: "Ada Lovelace" });
  for (const content of ["Hello!", "What is a lighthouse for?", "And at noon? !tokens 40"]) {
    await api("/v1/chat/completions", { key, json: { model: "cheap", messages: [{ role: "user", content }] } });
  }
  const { id: order } = await post("/api/v1/orders", { pack: "standard" }, { "idempotency-key": randomUUID() });
  await post(`/api/v1/orders/${order}/payment`, { currency: "btc" });
  await page.context().close();
  await converse({ open, signIn });
  return { key, order };
}

/** Two wallets that have chatted with agents of the demo. */
export async function converse({ open, signIn }) {
  for (const wallet of [0, 1]) {
    const page = await open();
    await signIn(page, wallet);
    await page.goto("/docs");
    for (const question of QUESTIONS) await page.evaluate(ask, question);
    await page.context().close();
  }
}
