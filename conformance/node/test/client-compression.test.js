// permessage-deflate between Tidewire's client of Socket.IO and a server that enables it.
import assert from "node:assert/strict";
import { describe as describeAny, it } from "node:test";
import { Relay } from "../support/relay.js";
import { startConformanceServer, startNodeServer } from "../support/server.js";
import { clientsForTests } from "../support/socketio-client.js";
import { describeOurs, serverForTests } from "../support/suite.js";

const LONG = "tide ".repeat(20_000);

for (const [name, start, describe] of [
  ["the conformance server", startConformanceServer, describeAny],
  // With the reference, both are the same.
  ["Node's server", startNodeServer, describeOurs],
]) {
  describe(`our client of Socket.IO and ${name}, which compresses`, () => {
    const server = serverForTests(start, { args: ["--per-message-deflate", "1024"] });
    const { client } = clientsForTests();

    for (const transports of [["websocket"], ["polling", "websocket"]]) {
      it(`carries long texts in few bytes over ${transports.join(", then ")}`, async () => {
        const relay = await Relay.start(server.url);
        const started = client(relay.url, { transports });
        await started.next("connect");
        // The first one may still travel over long-polling.
        started.does({ ask: ["echo-ack", LONG], timeout: 5_000 });
        assert.deepEqual(await started.next("answer"), [LONG]);
        let bytes = Infinity;
        for (let tries = 0; tries < 100 && bytes > LONG.length / 20; tries++) {
          const before = relay.received;
          started.does({ ask: ["echo-ack", LONG], timeout: 5_000 });
          assert.deepEqual(await started.next("answer"), [LONG]);
          bytes = relay.received - before;
        }
        assert.ok(bytes < LONG.length / 20, `${bytes} bytes`);
        relay.stop();
      });
    }
  });
}
