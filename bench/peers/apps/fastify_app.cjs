// A collector in Fastify that decodes and buffers, and no more. Usage: fastify_app.cjs PORT.
"use strict";
const app = require("fastify")({ logger: false, keepAliveTimeout: 600000 });

const FULL = 10000; // events in the buffer when it is dropped, as a writer would take it away
let buffer = [];

// Browsers send the event as text/plain, which spares them a preflight.
app.removeAllContentTypeParsers();
app.addContentTypeParser("*", { parseAs: "string" }, (request, body, done) => {
  try {
    done(null, JSON.parse(body));
  } catch (error) {
    error.statusCode = 400;
    done(error);
  }
});
app.post("/v1/events", (request, reply) => {
  buffer.push(request.body);
  if (buffer.length >= FULL) buffer = [];
  reply.code(204).send();
});
app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
process.on("SIGTERM", () => process.exit(0));
