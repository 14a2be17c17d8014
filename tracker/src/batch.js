// What goes together, what an answer means, how long to wait. Pure.

// The events of the next request. What was tried least goes first, so that an event nobody can take
// does not stand in the way of others.
export const cut = (events, most) => events.sort((a, b) => a.attempt - b.attempt).slice(0, most);

// What became of each of `count` events: "accepted", the server's error code, or "" for "send it
// again". A 200 counts only with the server's own words: a hotel's log-in page also says 200. To
// refuse for good, the server names the event; X-Trackflow-Refused comes with every refusal, also with 429 and 503.
export const verdicts = (count, status, answer) => {
  const all = Array(count).fill(status === 200 && answer.accepted >= 0 ? "accepted" : "");
  for (const { index, error } of answer.refused || []) all[index] = error;
  return all;
};

// Milliseconds to wait after so many failures in a row: doubling from 1 s to 5 min, half of it by
// chance, so that the visitors of a site do not all come back at once.
export const backoff = (failures) => Math.min(2 ** failures, 600) * 250 * (1 + Math.random());

// The query of the pixel: the same keys, objects (props, revenue) as JSON.
export const query = (event) =>
  new URLSearchParams(
    Object.entries(event).map(([key, value]) => [key, value instanceof Object ? JSON.stringify(value) : value]),
  );
