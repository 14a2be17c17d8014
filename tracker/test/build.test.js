// What is served: its size on the wire, and that it is what the types say.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { brotliCompressSync } from "node:zlib";

const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url));

for (const [name, most] of [["t.js", 3072], ["t.extras.js", 3072], ["t.min.js", 1024]]) {
  test(`${name} takes ${most} bytes at most`, () => {
    const size = brotliCompressSync(read(`dist/${name}`)).length;
    assert.ok(size > 100 && size <= most, `${size} bytes with brotli`);
  });
}

test("the types name what the script has", () => {
  const types = read("trackflow.d.ts").toString();
  const source = read("src/api.js").toString();
  const [, list] = source.match(/Object\.assign\(track, \{([^}]*)\}/);
  const members = list.split(",").map((member) => member.split(":")[0].trim());
  assert.ok(members.length > 5);
  for (const member of members) assert.match(types, new RegExp(`^  (readonly )?${member}[(:]`, "m"), member);
});
