// The script as served, run in a stage browser: `node --test tracker/test/`.
// What only a real browser can show is in tests/browser.
const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { test } = require("node:test");
const vm = require("node:vm");

const SCRIPT = readFileSync(join(__dirname, "../../trackflowd/assets/t.js"), "utf8");

// A page with the script in it. `lacks` names what the browser has not; `set` overrides parts of window.
function page({ lacks = [], set = {}, dataset = {}, src = "https://stats.example.com/t.js" } = {}) {
  const sent = [];
  const urls = [];
  const fetched = [];
  const handlers = {};
  const timers = [];
  const location = { href: "https://shop.example/a?x=1#top", hostname: "shop.example", origin: "https://shop.example" };
  const go = (state, title, url) => {
    if (url) location.href = new URL(url, location.href).href;
  };
  const window = {
    location,
    document: {
      currentScript: { src, dataset },
      referrer: "https://search.example/",
      title: "A",
      addEventListener: (name, handler) => (handlers[name] = handler),
    },
    history: { pushState: go, replaceState: go },
    navigator: {
      language: "de-CH",
      sendBeacon: (url, body) => Boolean(urls.push(url) && sent.push(JSON.parse(body))),
    },
    screen: { width: 1920, height: 1080 },
    innerWidth: 1280,
    innerHeight: 720,
    crypto: { randomUUID: () => crypto.randomUUID() },
    Intl,
    URL,
    addEventListener: (name, handler) => (handlers[name] = handler),
    setTimeout: (handler) => timers.push(handler),
    fetch: (url, options) => {
      fetched.push({ url, ...options });
      return Promise.reject(new Error("offline"));
    },
    ...set,
  };
  for (const path of lacks) {
    const [name, member] = path.split(".");
    if (member) delete window[name][member];
    else delete window[name];
  }
  window.window = window;
  vm.createContext(window);
  const load = () => vm.runInContext(SCRIPT, window);
  load();
  const settle = () => timers.splice(0).forEach((handler) => handler());
  return { window, sent, urls, fetched, handlers, load, settle };
}

test("a page view says where, from where, and in what browser", () => {
  const { sent } = page();
  assert.equal(sent.length, 1);
  const { id, ...event } = sent[0];
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.deepEqual(event, {
    site: "shop.example",
    name: "pageview",
    url: "https://shop.example/a?x=1",
    referrer: "https://search.example/",
    title: "A",
    props: {},
    screen: "1920x1080",
    viewport: "1280x720",
    lang: "de-CH",
    tz: Intl.DateTimeFormat().resolvedOptions().timeZone,
  });
});

test("the endpoint lies beside the script", () => {
  assert.deepEqual(page().urls, ["https://stats.example.com/v1/events"]);
  assert.deepEqual(page({ src: "https://shop.example/stats/t.js" }).urls, ["https://shop.example/stats/v1/events"]);
});

for (const [api, url] of [
  ["/collect", "https://stats.example.com/collect"],
  ["https://other.example/e", "https://other.example/e"],
]) {
  test(`data-api ${api} is taken relative to the script`, () => {
    assert.deepEqual(page({ dataset: { api } }).urls, [url]);
  });
}

test("data-site names the site", () => {
  assert.equal(page({ dataset: { site: "my shop" } }).sent[0].site, "my shop");
});

test("an event carries props, and revenue apart from them", () => {
  const { window, sent } = page();
  const id = window.trackflow("order", { plan: "pro", revenue: { amount: 29, currency: "EUR" } });
  assert.equal(sent[1].name, "order");
  assert.equal(sent[1].id, id);
  assert.deepEqual(sent[1].props, { plan: "pro" });
  assert.deepEqual(sent[1].revenue, { amount: 29, currency: "EUR" });
  assert.notEqual(sent[0].id, sent[1].id);
});

test("a step of a single-page site is one view, with the page before as its referrer", () => {
  const { window, sent, settle } = page();
  window.history.pushState({}, "", "/b");
  window.history.replaceState({}, "", "/b?tab=1");
  window.document.title = "B";
  settle();
  assert.equal(sent.length, 2);
  assert.equal(sent[1].url, "https://shop.example/b?tab=1");
  assert.equal(sent[1].referrer, "https://shop.example/a?x=1");
  assert.equal(sent[1].title, "B");
});

test("the same address again, or another fragment of it, is no view", () => {
  const { window, sent, settle, handlers } = page();
  window.history.replaceState({ scroll: 100 }, "");
  settle();
  window.history.pushState({}, "", "#bottom");
  settle();
  handlers.popstate();
  settle();
  assert.equal(sent.length, 1);
});

test("back in the history is a view", () => {
  const { window, sent, settle, handlers } = page();
  window.history.pushState({}, "", "/b");
  settle();
  window.location.href = "https://shop.example/a?x=1#top";
  handlers.popstate();
  settle();
  assert.deepEqual(sent.map((event) => event.url.slice(20)), ["/a?x=1", "/b", "/a?x=1"]);
});

test("a page taken out of the back-forward cache is a view, its first show is not another", () => {
  const { sent, handlers } = page();
  handlers.pageshow({ persisted: false });
  assert.equal(sent.length, 1);
  handlers.pageshow({ persisted: true });
  assert.equal(sent.length, 2);
});

test("a prerendered page is a view once it is shown", () => {
  const set = { document: { prerendering: true, title: "P" } };
  const handlers = {};
  set.document.addEventListener = (name, handler) => (handlers[name] = handler);
  const { sent } = page({ set });
  assert.equal(sent.length, 0);
  handlers.prerenderingchange();
  assert.equal(sent.length, 1);
});

test("loaded twice it counts once", () => {
  const { window, sent, load, settle } = page();
  const first = window.trackflow;
  load();
  window.history.pushState({}, "", "/b");
  settle();
  assert.equal(sent.length, 2);
  assert.equal(window.trackflow, first);
});

test("calls made before it had loaded are sent after the page view", () => {
  const stub = () => {};
  stub.q = [["early", { a: "1" }]];
  const { sent } = page({ set: { trackflow: stub } });
  assert.deepEqual(sent.map((event) => event.name), ["pageview", "early"]);
});

test("without sendBeacon it fetches with keepalive and as simple text", () => {
  const { fetched } = page({ lacks: ["navigator.sendBeacon"] });
  assert.equal(fetched.length, 1);
  const { method, body, keepalive, headers } = fetched[0];
  assert.deepEqual({ method, keepalive, headers }, { method: "POST", keepalive: true, headers: undefined });
  assert.equal(JSON.parse(body).name, "pageview");
});

test("a beacon the browser refuses is fetched", () => {
  const set = { navigator: { sendBeacon: () => false } };
  assert.equal(page({ set }).fetched.length, 1);
});

for (const lacks of [
  ["crypto"],
  ["crypto.randomUUID"],
  ["screen"],
  ["Intl"],
  ["innerWidth"],
  ["history"],
  ["history.pushState"],
  ["document.title"],
  ["document.referrer"],
  ["navigator.language"],
  ["document.currentScript"],
]) {
  test(`a browser without ${lacks} is counted`, () => {
    const { sent } = page({ lacks });
    assert.equal(sent.length, 1);
    assert.ok(sent[0].id);
  });
}

for (const lacks of [["fetch", "navigator.sendBeacon"], ["URL"], ["location.hostname"], ["document.addEventListener"]]) {
  test(`a page without ${lacks} is not disturbed`, () => {
    const { window, fetched } = page({ lacks });
    window.trackflow("later");
    assert.equal(fetched.length, 0);
  });
}

test("what cannot be sent is left alone", () => {
  const { window, sent } = page();
  const loop = {};
  loop.loop = loop;
  for (const call of [[], [""], ["x", loop], ["x", { big: 1n }]]) assert.equal(window.trackflow(...call), undefined);
  assert.equal(sent.length, 1);
  for (const data of [null, undefined, 3, "text", []]) assert.ok(window.trackflow("x", data));
});
