// The launcher on somebody else's page; what it promises is said in `src/lib.rs`.
(() => {
  const me = document.currentScript;
  const { agent, tokenId, theme = "", position = "right", accent = "" } = me.dataset;
  const home = new URL(me.src).origin;
  const name = agent || tokenId || "";
  const make = (tag, attributes, parent, text, space = "1999/xhtml") => {
    const element = document.createElementNS("http://www.w3.org/" + space, tag);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (text) element.textContent = text;
    parent?.append(element);
    return element;
  };
  const host = make("freeside-chat");
  const root = host.attachShadow({ mode: "closed" });
  const sheet = new CSSStyleSheet();
  const side = position === "left" ? "left" : "right";
  const colour = /^#[\da-f]{6}$/i.test(accent) ? accent : "#0b5b4c";
  const light = [1, 3, 5].reduce((sum, at, index) => sum + parseInt(colour.slice(at, at + 2), 16) * [3, 6, 1][index], 0);
  sheet.replaceSync(`:host{all:initial;position:fixed;z-index:2147483000;bottom:0;${side}:0;color-scheme:normal}
*{box-sizing:border-box}[hidden]{display:none!important}
button,a{font:500 15px/1.4 system-ui,sans-serif;border:0;cursor:pointer}
.b{color:${light > 1270 ? "#13241f" : "#fff"};background:${colour};position:fixed;bottom:max(20px,env(safe-area-inset-bottom));${side}:20px;width:56px;height:56px;padding:15px;border-radius:50%;box-shadow:0 2px 6px #0003,0 8px 24px #0002;transition:transform .14s ease-out}
.b:hover{transform:translateY(-2px)}.b:focus-visible{outline:3px solid #fff;box-shadow:0 0 0 6px #13241f}
svg{display:block;width:26px;height:26px;fill:none;stroke:currentColor;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round}
.n{position:absolute;top:-3px;right:-3px;min-width:21px;padding:0 6px;border:2px solid #fff;border-radius:11px;background:#9c2f1d;color:#fff;font:600 12px/17px system-ui,sans-serif}
.p{position:fixed;bottom:92px;${side}:20px;width:min(400px,100vw - 40px);height:min(640px,100vh - 116px);border-radius:14px;overflow:hidden;color-scheme:${/^(light|dark)$/.test(theme) ? theme : "light dark"};background:Canvas;box-shadow:0 0 0 1px #0002,0 12px 48px #0003}
iframe{display:block;width:100%;height:100%;border:0}
.w{position:absolute;inset:0;display:grid;place-content:center;gap:12px;padding:24px;text-align:center;font:16px/1.5 system-ui,sans-serif;color:CanvasText;background:Canvas}
.w>*{padding:9px 16px;border-radius:8px;text-decoration:none;color:Canvas;background:CanvasText}
@media(max-width:480px){.p{inset:0;width:auto;height:auto;border-radius:0}.p:not([hidden]):has(.r)+.b{visibility:hidden}}
@media(prefers-reduced-motion:reduce){*{transition:none!important}}`);
  root.adoptedStyleSheets = [sheet];
  const panel = make("div", { class: "p", role: "dialog", "aria-label": "Chat", hidden: "" }, root);
  const button = make("button", { class: "b", type: "button", "aria-expanded": "false", "aria-label": "Open chat" }, root);
  const svg = make("svg", { viewBox: "0 0 24 24" }, button, "", "2000/svg");
  const path = make("path", {}, svg, "", "2000/svg");
  const badge = make("span", { class: "n", hidden: "" }, button);
  const drawing = (open) => path.setAttribute("d", open ? "M6 9.5l6 6 6-6" : "M4 5h16v11.5h-8.5L7 20.5v-4H4z");
  drawing();
  let frame, wait, timer;
  const watch = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      wait?.remove();
      wait = make("div", { class: "w", role: "alert" }, panel, "The chat could not be loaded.");
      make("button", { type: "button" }, wait, "Try again").onclick = load;
      make("a", { href: `${home}/chat/${name.replace(":", "/")}`, target: "_blank", rel: "noopener" }, wait, "Open in a tab");
    }, ms);
  };
  const tell = (what) => frame?.contentWindow?.postMessage({ freeside: what }, home);
  const load = () => {
    frame?.remove();
    wait?.remove();
    const query = new URLSearchParams({ agent: name, theme, accent, host: location.origin });
    frame = make("iframe", { src: `${home}/embed?${query}`, title: "Chat", allow: "clipboard-write" }, panel);
    frame.onload = () => frame.className || watch(6000);
    watch(15000);
  };
  const show = (open) => {
    if (panel.hidden !== open) return;
    panel.hidden = !open;
    button.setAttribute("aria-expanded", open);
    button.setAttribute("aria-label", open ? "Close chat" : "Open chat");
    drawing(open);
    if (open && !frame) load();
    else tell(open ? "open" : "close");
    open ? frame.focus() : button.focus();
  };
  button.onclick = () => show(panel.hidden);
  root.addEventListener("keydown", (event) => event.key === "Escape" && show(false));
  addEventListener("message", ({ origin, source, data }) => {
    if (origin !== home || source !== frame?.contentWindow) return;
    const { freeside, count } = data;
    if (freeside === "ready") {
      clearTimeout(timer);
      wait?.remove();
      frame.className = "r";
      tell(panel.hidden ? "close" : "open");
    } else if (freeside === "close") {
      show(false);
    } else if (freeside === "unread") {
      badge.hidden = !count;
      badge.textContent = count > 9 ? "9+" : count;
      if (panel.hidden) button.setAttribute("aria-label", count ? `Open chat, ${count} unread` : "Open chat");
    }
  });
  const put = () => document.body.append(host);
  document.body ? put() : addEventListener("DOMContentLoaded", put);
})();
