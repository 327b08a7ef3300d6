// What `docs/screenshots/` shows: one line for each picture. `wallet` is signed in; `prepare` does what a person would do
// before it; `path` may be a function of what `furnish` made.
export const SCENES = [
  { name: "home", path: "/" },
  { name: "docs", path: "/docs" },
  { name: "api", path: "/docs/api/openai" },
  { name: "problem", path: "/problems/insufficient-credits" },
  { name: "developers", path: "/developers" },
  { name: "not-found", path: "/no/such/page" },
];

/** Two questions of different length, so that costs differ. */
const QUESTIONS = [
  ["demo:1", "How do I get from the harbour to the old observatory?"],
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

/** Somebody who signed up, and two wallets that chatted: what the pages then show. */
export async function furnish({ api, open, signIn }) {
  const made = await api("/api/v1/developers/register", { json: { name: "Ada Lovelace" } });
  const { key } = await made.json();
  for (const content of ["Hello!", "What is a lighthouse for?", "And at noon? !tokens 40"]) {
    await api("/v1/chat/completions", { key, json: { model: "cheap", messages: [{ role: "user", content }] } });
  }
  for (const wallet of [0, 1]) {
    const page = await open();
    await signIn(page, wallet);
    await page.goto("/docs");
    for (const question of QUESTIONS) await page.evaluate(ask, question);
    await page.context().close();
  }
  return { key };
}
