// The parts of the script that touch nothing: `node --test tracker/test/`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { clean, glob } from "../src/address.js";
import { backoff, cut, query, verdicts } from "../src/batch.js";
import { interactions, shifts } from "../src/vitals.js";

for (const [address, sent, wanted = [], hash = false] of [
  ["https://a.example/p?x=1#top", "https://a.example/p"],
  ["https://a.example/p?utm_source=mail&x=1&gclid=Cj0", "https://a.example/p?utm_source=mail&gclid=Cj0"],
  ["https://a.example/p?UTM_Source=mail", "https://a.example/p?UTM_Source=mail"],
  ["https://a.example/p?utm_sourcerer=1&xgclid=1&not_utm_source=1", "https://a.example/p"],
  ["https://a.example/?q=caf%C3%A9+au&page=2&token=t", "https://a.example/?q=caf%C3%A9+au&page=2", ["page", "q"]],
  ["https://a.example/app#/b/c?x=1", "https://a.example/app/b/c", [], true],
  ["https://a.example/?utm_term=t#!/b", "https://a.example/b?utm_term=t", [], true],
  ["https://a.example/#/b?page=2", "https://a.example/b?page=2", ["page"], true],
  ["https://a.example/app#", "https://a.example/app", [], true],
  ["", ""],
  ["no address", ""],
]) {
  test(`${address || "nothing"} is sent as ${sent || "nothing"}${hash ? " in hash mode" : ""}`, () => {
    assert.equal(clean(address, wanted, hash), sent);
  });
}

for (const [pattern, path, matches] of [
  ["/admin", "/admin", true],
  ["/admin", "/admin/x", false],
  ["/admin/*", "/admin/x", true],
  ["/admin/*", "/admin/x/y", false],
  ["/admin/**", "/admin/x/y", true],
  ["**/edit", "/a/b/edit", true],
  ["/a.b+(c)", "/a.b+(c)", true],
  ["/a.b", "/axb", false],
  ["", "/", false],
]) {
  test(`${pattern || "no pattern"} ${matches ? "matches" : "does not match"} ${path}`, () => {
    assert.equal(glob(pattern).test(path), matches);
  });
}

test("a request takes what was tried least, and no more than it may", () => {
  const events = [3, 0, 1, 0].map((attempt, id) => ({ attempt, id }));
  assert.deepEqual(cut(events, 3).map(({ id }) => id), [1, 3, 2]);
});

for (const [what, status, answer, expected] of [
  ["a 200 with the server's words accepts", 200, { accepted: 2 }, ["accepted", "accepted"]],
  ["a 200 of somebody else is no answer", 200, {}, ["", ""]],
  ["a 200 drops what it refuses by name", 200, { accepted: 1, refused: [{ index: 1, error: "bad_value" }] }, ["accepted", "bad_value"]],
  ["a 400 drops what it names", 400, { accepted: 0, refused: [{ index: 0, error: "bad_type" }] }, ["bad_type", ""]],
  ["a 413 that names nothing is tried again", 413, { error: "body_too_large" }, ["", ""]],
  ["a 503 is tried again", 503, { error: "ring_full" }, ["", ""]],
  ["what policy refuses is dropped by name", 403, { accepted: 0, refused: [{ index: 0, error: "origin" }, { index: 1, error: "path" }] }, ["origin", "path"]],
  ["what is not counted is dropped", 200, { accepted: 1, refused: [{ index: 1, error: "bot" }] }, ["accepted", "bot"]],
  ["a 429 is tried again", 429, { error: "rate_limited" }, ["", ""]],
]) {
  test(what, () => assert.deepEqual(verdicts(2, status, answer), expected));
}

test("waiting doubles from half a second up to five minutes, half of it by chance", (t) => {
  for (const [random, expected] of [[0, [500, 1000, 2000, 150_000]], [1, [1000, 2000, 4000, 300_000]]]) {
    t.mock.method(Math, "random", () => random);
    assert.deepEqual([1, 2, 3, 40].map(backoff), expected);
  }
});

test("the pixel's query says the same as the JSON", () => {
  const event = { name: "a b", scroll: 5, props: { plan: "pro&", n: 1 }, revenue: { amount: 1.5, currency: "EUR" } };
  const found = query(event);
  assert.equal(found.get("name"), "a b");
  assert.equal(found.get("scroll"), "5");
  assert.deepEqual(JSON.parse(found.get("props")), event.props);
  assert.deepEqual(JSON.parse(found.get("revenue")), event.revenue);
});

test("layout shifts add up in windows, the worst of which counts", () => {
  const found = shifts();
  assert.equal(found.worst(), undefined);
  for (const [startTime, value, hadRecentInput] of [
    [100, 0.1],
    [900, 0.1],
    [3000, 0.15],
    [3500, 0.5, true],
    [9000, 0.05],
  ])
    found.add({ startTime, value, hadRecentInput });
  assert.equal(found.worst(), 0.2);
});

test("a window of shifts ends after five seconds", () => {
  const found = shifts();
  for (let startTime = 0; startTime < 10_000; startTime += 500) found.add({ startTime, value: 1 });
  assert.equal(found.worst(), 10);
});

test("of many interactions the slowest but for one in fifty counts", () => {
  const found = interactions();
  assert.equal(found.slow(), undefined);
  found.add({ interactionId: 0, duration: 9000 });
  for (let id = 1; id <= 20; id++) found.add({ interactionId: id, duration: id * 10 });
  found.add({ interactionId: 20, duration: 50 });
  assert.equal(found.slow(), 200);
  assert.equal(found.slow(50), 190);
  assert.equal(found.slow(5000), 110);
});
