// Somebody else's page: a tiny server on an origin of its own, and the widget's launcher on it.
import { createServer } from "node:http";

const page = ({ script, dir, title }) => `<!doctype html>
<html lang="en" dir="${dir}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title><link rel="icon" href="data:,"></head>
<body><main><h1>${title}</h1><p>A page of other people, with a <a href="#more">link</a>.</p><p id="more">More of it.</p></main>
${script}</body></html>`;

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");

/**
 * A host's page: `name` is how the browser calls it (`localhost`, `shop.localhost`), so that its origin is foreign to the
 * server's. `attributes` stand on the script tag, `headers` go with the page, `body` stands instead of the script.
 * `origin` is the page's; each path has the same page.
 */
export async function host({ base, name = "localhost", attributes = {}, headers = {}, dir = "ltr", body, title = "A shop" }) {
  const all = { src: `${base}/widget/v1/widget.js`, "data-agent": "demo:1", ...attributes };
  const written = Object.entries(all).map(([key, value]) => `${key}="${escaped(value)}"`).join(" ");
  const html = page({ script: body ?? `<script ${written} async></script>`, dir, title });
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8", "cache-control": "no-store", ...headers });
    response.end(html);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const origin = `http://${name}:${server.address().port}`;
  const close = () => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  };
  return { origin, close };
}

/** The strictest policy that the guide promises to work under: no inline, no wasm, no foreign style, picture or call. */
export const strict = (base) => ({
  "content-security-policy":
    `default-src 'none'; script-src ${base}; frame-src ${base}; img-src data:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'`,
});
