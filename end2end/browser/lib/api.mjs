// `fetch` against the server of a journey.

/** `api("/api/v1/packs")`, `api("/v1/chat/completions", { key, json: {…} })`; other options are those of `fetch`. */
export function caller(base) {
  return (path, { json, key, headers = {}, ...init } = {}) => {
    const more = { ...headers };
    if (key) more.authorization = `Bearer ${key}`;
    if (json === undefined) return fetch(new URL(path, base), { ...init, headers: more });
    more["content-type"] = "application/json";
    return fetch(new URL(path, base), { method: "POST", ...init, headers: more, body: JSON.stringify(json) });
  };
}
