// The pages that anyone may read: one line each. `says` stands in their text, with and without JavaScript.
export const PAGES = [
  { name: "home", path: "/", says: "Every token has a voice." },
  { name: "docs", path: "/docs", says: "Ask with curl" },
  { name: "api", path: "/docs/api", says: "/v1/chat/completions" },
  { name: "api-group", path: "/docs/api/openai", says: "Answers a conversation, whole or as a stream" },
  { name: "problems", path: "/problems", says: "The balance does not cover this request" },
  { name: "problem", path: "/problems/insufficient-credits", says: "What to do" },
  { name: "developers", path: "/developers", says: "Your first answer is a minute away" },
  { name: "account", path: "/developers/account", says: "Usage and keys" },
  { name: "not-found", path: "/no/such/page", says: "There is no page at this address", status: 404 },
  { name: "error", path: "/theme", says: "The method does not fit", status: 405 },
];
