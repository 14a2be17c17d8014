// JavaScript errors of the page as events "error": each once a page, and so many at most. What is
// behind a question mark in an address is left out.
const MOST = 10;
const MESSAGE_CHARS = 300;
const STACK_CHARS = 1000;
const seen = new Set();

const report = (message, source, stack) => {
  const key = message + source;
  if (seen.size >= MOST || seen.has(key)) return;
  seen.add(key);
  const short = (text, most) => text && `${text}`.replace(/\?[^\s:)]*/g, "").slice(0, most);
  window.trackflow("error", {
    props: {
      view: window.trackflow.page.id,
      message: short(message, MESSAGE_CHARS),
      source: short(source, MESSAGE_CHARS),
      stack: short(stack, STACK_CHARS),
    },
  });
};

export const errors = () => {
  addEventListener("error", ({ message, filename, lineno, colno, error }) =>
    report(message, `${filename}:${lineno}:${colno}`, error?.stack),
  );
  addEventListener("unhandledrejection", ({ reason }) => report(`${reason?.message ?? reason}`, "", reason?.stack));
};
