// A server for the widget's tests: the pages, the doors and the socket as far as the panel uses them, in one process.
// It fails on command: `POST /test/cut` drops every socket without a word, `POST /test/drain` says that it goes away.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { WebSocketServer } from "ws";

const CSP = [
  "default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "style-src 'self'", "img-src 'self' data:",
  "connect-src 'self'", "frame-ancestors *", "base-uri 'none'", "form-action 'none'",
].join("; ");

const TYPES = { js: "text/javascript", css: "text/css", wasm: "application/wasm" };

const page = (root, title) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><link rel="stylesheet" href="/panel.css">
<link rel="stylesheet" href="/frame.css"><script type="module" src="/panel.js"></script></head><body>${root}</body></html>`;

const attribute = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

/** Answers by question id: frames that were made so far. They outlive every socket. */
const answers = new Map();
const sockets = new Set();

/** `folder` holds panel.js, panel.css, widget_bg.wasm, loader.js; `answer` is markdown; a word each `paceMs`. */
export function serve({ folder, answer, paceMs = 15 }) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://localhost");
    let body = "";
    for await (const chunk of request) body += chunk;
    requests.push({ method: request.method, path: url.pathname, body });
    const send = (status, type, text, more = {}) => {
      response.writeHead(status, { "content-type": type, "content-security-policy": CSP, ...more });
      response.end(text);
    };
    const json = (value, status = 200) => send(status, "application/json", JSON.stringify(value));
    const root = (kind, more) => {
      const data = { freeside: kind, wasm: "/widget_bg.wasm", agent: "demo:1", name: "Mira of the Tides",
        about: "A patient cartographer of storms. Speaks in short, warm sentences.", palette: "", ...more };
      const attributes = Object.entries(data).filter(([, value]) => value !== undefined)
        .map(([key, value]) => `data-${key}="${attribute(value)}"`);
      return `<main>${kind === "panel" && !more.mode ? `<h1 class="fs-spoken">Chat</h1>` : ""}<div id="root" ${attributes.join(" ")}></div></main>`;
    };
    const query = Object.fromEntries(url.searchParams);
    switch (url.pathname) {
      case "/chat": return send(200, "text/html", page(root("panel", { history: "/history", buy: "/buy", "signed-in": query.out ? undefined : "1", accent: query.accent, theme: query.theme, load: query.load }), "Chat"));
      case "/embed": return send(200, "text/html", page(root("panel", { mode: "frame", history: "/history", host: query.host, theme: query.theme, accent: query.accent, exchange: "/exchange" }), "Chat"));
      case "/signin": return send(200, "text/html", page(root("signin", { mode: query.mode, challenge: query.challenge, return: query.return, burner: query.burner }), "Sign in").replace("<main>", "<main><h1>Sign in</h1>"));
      case "/host": return send(200, "text/html", `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A shop</title><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"></head><body><main><h1>A shop of other people</h1><p>Text.</p></main><script src="${query.home}/loader.js" data-agent="demo:1" data-accent="#7a3fb0" async></script></body></html>`,
        { "content-security-policy": `default-src 'none'; script-src ${query.home}; frame-src ${query.home}; img-src data:` });
      case "/frame.css": return send(200, "text/css", "html,body,main,#root{height:100%;margin:0}");
      case "/history": return json({ turns: [], next: null });
      case "/api/v1/ws/ticket": return json({ ticket: "t", expires_in_s: 30 }, 201);
      case "/exchange": return json({ token: "secret", address: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" });
      case "/api/v1/siwe/handoff": return json({ code: "c".repeat(40), expires_in_s: 60 }, 201);
      case "/api/v1/siwe/nonce": return json({ chain_ids: [1, 8453], message: "a.example wants you to sign in with your Ethereum account:\n{address}\n\nSign in.\n\nURI: https://a.example\nVersion: 1\nChain ID: {chain_id}\nNonce: 12345678" });
      case "/api/v1/siwe/verify": return json({ authenticated: true });
      case "/test/cut": for (const socket of sockets) socket._socket.destroy(); return json({});
      case "/test/drain": for (const socket of sockets) say(socket, "server_drain", { message: "restart", drainMs: 1000 }); return json({});
      default:
        if (url.pathname.endsWith("/feedback")) return send(204, "text/plain", undefined);
        try {
          const type = TYPES[url.pathname.split(".").pop()];
          return send(200, type, readFileSync(folder + url.pathname), { "access-control-allow-origin": "*" });
        } catch {
          return send(404, "text/plain", "not here");
        }
    }
  });
  const say = (socket, type, payload) => socket.readyState === 1 && socket.send(JSON.stringify({ type, payload }));
  const watch = (socket, id, after) => {
    const known = answers.get(id);
    for (const frame of known.frames) if (frame.payload.seq > after) say(socket, frame.type, frame.payload);
    known.watchers.add(socket);
  };
  const begin = (id, message) => {
    const known = { frames: [], watchers: new Set(), stopped: false };
    answers.set(id, known);
    const words = (message.includes("long") ? Array(8).fill(answer).join("\n\n") : answer).split(/(?<=\s)/);
    const push = (type, payload) => {
      const frame = { type, payload: { requestId: id, seq: known.frames.length + 1, ...payload } };
      known.frames.push(frame);
      for (const socket of known.watchers) say(socket, frame.type, frame.payload);
    };
    push("stream_start", { tokenId: "demo:1", pool: "cheap", personalityId: "demo:1@1", model: "scripted", reason: "tier 2: cheap" });
    if (message.includes("broke")) {
      return push("error", { code: "insufficient_credits", message: "Your balance is $0.00; this answer needs up to $0.0021.", costMicro: "0" });
    }
    const next = () => {
      if (known.stopped) return push("stream_end", { usage: { prompt_tokens: 12, completion_tokens: 9 }, costMicro: "21", finishReason: "cancelled", note: null });
      const word = words.shift();
      if (word === undefined) return push("stream_end", { usage: { prompt_tokens: 12, completion_tokens: 340 }, costMicro: "1742", finishReason: "stop", note: null });
      push("stream_token", { content: word });
      setTimeout(next, paceMs);
    };
    setTimeout(next, 300);
  };
  new WebSocketServer({ server, path: "/ws/chat", maxPayload: 4096 }).on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    say(socket, "welcome", { authenticated: false, readOnly: true, tokenId: "demo:1", idleTimeoutMs: 300000, heartbeatIntervalMs: 30000 });
    socket.on("message", (data) => {
      const { type, payload } = JSON.parse(data);
      if (type === "auth") say(socket, "welcome", { authenticated: true, readOnly: false, tokenId: "demo:1", idleTimeoutMs: 300000, heartbeatIntervalMs: 30000 });
      if (type === "ping") say(socket, "pong", {});
      if (type === "cancel" && answers.has(payload.requestId)) answers.get(payload.requestId).stopped = true;
      if (type === "chat") {
        if (!answers.has(payload.requestId)) begin(payload.requestId, payload.message);
        watch(socket, payload.requestId, 0);
      }
      if (type === "resume") watch(socket, payload.requestId, payload.after);
    });
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done({ port: server.address().port, requests, answers, close: () => server.close() })));
}
