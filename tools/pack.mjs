// Packs the built scripts with brotli: trackflowd/assets/t.js → trackflowd/assets/t.js.DIGEST.br.
// The digest (BLAKE2b, 6 bytes) is of what is packed: the daemon serves a packed file only for
// exactly that content (trackflowd/static.py). Run it after a change of the scripts:
//
//   node tools/pack.mjs
//
// It writes what is missing, removes what no script has any more, and leaves the rest as it is: another version of
// brotli may pack the same content into other bytes.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";

const assets = join(dirname(fileURLToPath(import.meta.url)), "../trackflowd/assets");
// node has BLAKE2b at its full length only, which is another function.
const python = "import hashlib, sys; print(hashlib.blake2b(sys.stdin.buffer.read(), digest_size=6).hexdigest())";

const wanted = new Set();
for (const name of readdirSync(assets).filter((name) => name.endsWith(".js"))) {
  const content = readFileSync(join(assets, name));
  const packed = `${name}.${execFileSync("python3", ["-c", python], { input: content }).toString().trim()}.br`;
  wanted.add(packed);
  if (existsSync(join(assets, packed))) continue;
  const params = {
    [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
  };
  const bytes = brotliCompressSync(content, { params });
  writeFileSync(join(assets, packed), bytes);
  console.log(`${packed}: ${content.length} bytes in ${bytes.length}`);
}
for (const name of readdirSync(assets)) if (name.endsWith(".br") && !wanted.has(name)) unlinkSync(join(assets, name));
