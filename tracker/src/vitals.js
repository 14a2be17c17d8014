// Web Vitals of the page load as one event "vitals", told when the page is first hidden: lcp, fcp, ttfb
// and inp in ms, cls as it is. What a browser does not measure is left out. As https://web.dev/vitals defines them.
const observe = (type, take, more) => {
  try {
    new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true, ...more });
  } catch {} // it does not know the type
};

// Layout shifts count in windows: less than 1 s between two, 5 s at most; the worst window is it.
export const shifts = () => {
  let first = 0;
  let last = 0;
  let sum = 0;
  let worst;
  return {
    add: ({ startTime, value, hadRecentInput }) => {
      if (hadRecentInput) return;
      const goes = sum && startTime - last < 1000 && startTime - first < 5000;
      if (!goes) {
        first = startTime;
        sum = 0;
      }
      sum += value;
      last = startTime;
      worst = Math.max(worst ?? 0, sum);
    },
    worst: () => worst,
  };
};

// The slowest interaction, but for one in 50: the longest durations, by interaction.
export const interactions = () => {
  const longest = new Map();
  let count = 0;
  return {
    add: ({ interactionId, duration }) => {
      if (!interactionId) return;
      if (!longest.has(interactionId)) count++;
      longest.set(interactionId, Math.max(duration, longest.get(interactionId) ?? 0));
      if (longest.size > 10) longest.delete([...longest].sort((a, b) => a[1] - b[1])[0][0]);
    },
    slow: (total = count) =>
      [...longest.values()].sort((a, b) => b - a)[Math.min(longest.size - 1, Math.floor(total / 50))],
  };
};

export const vitals = () => {
  if (document.hidden) return; // opened in the background: its times say nothing
  const { id: view, url } = window.trackflow.page;
  const navigation = performance.getEntriesByType("navigation")[0] || {};
  const start = navigation.activationStart || 0;
  const since = (time) => (time ? Math.max(Math.round(time - start), 0) : undefined);
  const cls = shifts();
  const inp = interactions();
  let lcp, fcp;
  observe("largest-contentful-paint", (entry) => (lcp = entry.startTime));
  observe("paint", (entry) => entry.name === "first-contentful-paint" && (fcp = entry.startTime));
  observe("layout-shift", cls.add);
  observe("event", inp.add, { durationThreshold: 40 });
  observe("first-input", inp.add);
  const tell = () => {
    if (!document.hidden) return;
    removeEventListener("visibilitychange", tell, true);
    const round = (number, digits) => number && Math.round(number * digits) / digits;
    const props = {
      view,
      lcp: since(lcp),
      fcp: since(fcp),
      ttfb: since(navigation.responseStart),
      cls: round(cls.worst() ?? 0, 10_000),
      inp: round(inp.slow(performance.interactionCount || undefined), 1),
    };
    window.trackflow("vitals", { url, props });
  };
  addEventListener("visibilitychange", tell, true);
};
