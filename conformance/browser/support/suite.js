// Building blocks of test files.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { CLIENTS, FAILURES } from "./browser.js";

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

/** Runs `test` in a page with a connected client over each transport. */
export function overEachTransport(browser, server, library, name, test, expected, transports = TRANSPORTS) {
  for (const transport of transports) {
    it(`${name}, over ${transport}`, async () => {
      // If a client ends a session that the server is ending too, its last request is refused. If it comes back in the
      // test and ends again, the second upgrade may be under way.
      browser.tolerate(FAILURES.status(400), FAILURES.abandoned);
      const client = await (await browser.open(library)).connect(server.url, transport);
      assert.deepEqual(await client.run(test), expected);
    });
  }
}
