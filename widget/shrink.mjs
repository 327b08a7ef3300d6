// Makes what wasm-bindgen and wasm-opt leave smaller by a twelfth: imports get short names in the module and in the
// glue (theirs carry a hash each, which nothing compresses), and the glue loses its comments and indentation.
//   node shrink.mjs MODULE GLUE NEW_MODULE NEW_GLUE
import { readFileSync, writeFileSync } from "node:fs";

const [moduleIn, glueIn, moduleOut, glueOut] = process.argv.slice(2);
const IMPORTS = 2;
const bytes = readFileSync(moduleIn);
let at = 8;

const number = () => {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value |= (byte & 127) << shift;
    if (byte < 128) return value >>> 0;
  }
};
const limits = () => {
  const flags = number();
  number();
  if (flags & 1) number();
};
const text = () => {
  const length = number();
  return bytes.subarray(at, (at += length)).toString();
};
const encoded = (value) => {
  const out = [];
  for (; value > 127; value >>>= 7) out.push((value & 127) | 128);
  return Buffer.from([...out, value]);
};
const named = (name) => Buffer.concat([encoded(name.length), Buffer.from(name)]);

/** Passes over what is imported: a function, a table, a memory, a global or a tag. */
const description = () => {
  const start = at;
  const kind = number();
  if (kind === 0) number();
  else if (kind === 1) { at += 1; limits(); }
  else if (kind === 2) limits();
  else if (kind === 3) at += 2;
  else { at += 1; number(); }
  return bytes.subarray(start, at);
};

let glue = readFileSync(glueIn, "utf8")
  .replace(/\/\*\*[\s\S]*?\*\//g, "")
  .split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("//")).join("\n");
const parts = [bytes.subarray(0, 8)];
while (at < bytes.length) {
  const start = at;
  const id = bytes[at++];
  const end = number() + at;
  if (id === IMPORTS) {
    const count = number();
    const body = [encoded(count)];
    for (let index = 0; index < count; index += 1) {
      const [from, name] = [text(), text()];
      const short = `i${index.toString(36)}`;
      glue = glue.replace(new RegExp(`(?<![\\w$])${name}(?![\\w$])`, "g"), short).replace(`${JSON.stringify(from)}:`, '"w":');
      body.push(named("w"), named(short), description());
    }
    const section = Buffer.concat(body);
    parts.push(Buffer.from([id]), encoded(section.length), section);
  } else {
    parts.push(bytes.subarray(start, end));
  }
  at = end;
}
writeFileSync(moduleOut, Buffer.concat(parts));
writeFileSync(glueOut, glue);
