// The official client in the browser, on a server that compresses WebSocket messages.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Relay } from "../../node/support/relay.js";
import { startConformanceServer } from "../../node/support/server.js";
import { browserForTests } from "../support/browser.js";
import { serverForTests } from "../support/suite.js";

const browser = browserForTests();

describe("permessage-deflate", () => {
  const server = serverForTests(startConformanceServer, () => ({ args: ["--per-message-deflate", "1024"] }));

  for (const transport of ["websocket", "polling, then upgraded"]) {
    it(`makes long events short over ${transport}`, async () => {
      const relay = await Relay.start(server.url);
      const page = await browser.open();
      const client = await page.connect(relay.url, transport);
      const before = relay.received;
      const equal = await client.run(async (socket) => {
        const text = "tide ".repeat(20_000);
        return (await socket.emitWithAck("echo-ack", text)) === text;
      });
      assert.ok(equal);
      const bytes = relay.received - before;
      assert.ok(bytes > 0 && bytes < 5_000, `${bytes} bytes`);
      await page.leave(); // Firefox reports a connection that is cut
      relay.stop();
    });
  }
});
