// What test files are made of.
import { after, before } from "node:test";

export const TRANSPORTS = ["polling", "websocket", "polling, then upgraded"];

/** A server that lives as long as the enclosing `describe`; `start` is one of the starters of Node's `server.js`. */
export function serverForTests(start, options) {
  const context = {};
  before(async () => {
    const server = await start(options?.());
    Object.assign(context, { server, url: server.url, webSocketUrl: server.webSocketUrl });
  });
  after(() => context.server?.stop());
  return context;
}
