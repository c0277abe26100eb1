// Building blocks of test files.
import { after, before, describe } from "node:test";
import { CLIENTS } from "./browser.js";

export const TRANSPORTS = ["polling", "websocket", "polling, then upgraded"];

/** Describes what each client does, the official one and ours. */
export function overEachClient(define) {
  for (const library of CLIENTS) describe(library, () => define(library));
}

/**
 * Starts a server that runs as long as the enclosing `describe`. `start` is a start function from Node's `server.js`.
 */
export function serverForTests(start, options) {
  const context = {};
  before(async () => {
    const server = await start(options?.());
    Object.assign(context, { server, url: server.url, webSocketUrl: server.webSocketUrl });
  });
  after(() => context.server?.stop());
  return context;
}
