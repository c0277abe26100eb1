// Building blocks of test files.
import { after, before } from "node:test";

export const TRANSPORTS = ["polling", "websocket", "polling, then upgraded"];

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
