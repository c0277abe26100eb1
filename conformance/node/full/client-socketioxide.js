// Tidewire's client of Socket.IO, against a server of the crate socketioxide. `cargo xtask test --stage node --full` runs
// this. socketioxide handles the events of a socket in any order, so each test awaits one answer before it goes on.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startSocketioxideServer } from "../support/server.js";
import { clientsForTests, transportOptions } from "../support/socketio-client.js";
import { TRANSPORTS, serverForTests } from "../support/suite.js";

const VALUES = [
  null,
  true,
  -1.5,
  12_345_678_901,
  "größer € 👩‍👩‍👧 \u0000 \"quoted\"",
  [1, [2, { three: 3 }]],
  { "a b": { c: [null, false] }, ä: "ö" },
  { $bytes: "0001feff" },
  { deep: [{ $bytes: "0001feff" }, { more: { $bytes: "aa" } }] },
];

// Over long-polling, the binary answers of socketioxide 0.18 are a `parse error` for the official client as well.
const valuesFor = (transport) =>
  transport === "websocket" ? VALUES : VALUES.filter((value) => !JSON.stringify(value).includes("$bytes"));

for (const transport of TRANSPORTS) {
  describe(`our client of Socket.IO and socketioxide over ${transport}`, () => {
    const server = serverForTests(startSocketioxideServer);
    const { client } = clientsForTests();
    const connect = async (more = {}, path = "/") => {
      const started = client(server.url + path, { ...transportOptions(transport), ...more });
      return { started, connected: await started.next("connect") };
    };

    it("takes the id of the server, which has 16 characters", async () => {
      const { connected } = await connect();
      assert.equal(connected.id.length, 16);
    });

    it("sends and gets values of every kind", async () => {
      const { started } = await connect();
      for (const value of valuesFor(transport)) {
        started.does({ emit: ["echo", value] });
        assert.deepEqual(await started.event(), ["echo-back", value]);
      }
    });

    it("gets acknowledgements, and acknowledges events of the server", async () => {
      const { started } = await connect();
      for (const value of valuesFor(transport)) {
        started.does({ ask: ["echo-ack", value], timeout: 5_000 });
        assert.deepEqual(await started.next("answer"), [value]);
        started.does({ emit: ["ask", value] });
        assert.deepEqual(await started.event(), ["question", value]);
        assert.deepEqual(await started.event(), ["answered", value]);
      }
    });

    it("sends what it has buffered once it is connected", async () => {
      const started = client(server.url, { ...transportOptions(transport), autoConnect: false });
      started.does({ ask: ["echo-ack", "buffered"], timeout: 5_000 }, { connect: true });
      await started.next("connect");
      assert.deepEqual(await started.next("answer"), ["buffered"]);
    });

    it("uses several namespaces, and is told why one rejects it", async () => {
      const { started } = await connect({ auths: { "/admin": { token: "secret" } } });
      started.does({ nsp: "/admin", connect: true }, { nsp: "/custom", connect: true });
      await started.next("connect", "/custom");
      started.does({ nsp: "/custom", ask: ["echo-ack", 1], timeout: 5_000 });
      assert.deepEqual(await started.next("answer", "/custom"), [1]);
      const rejected = client(`${server.url}/admin`, { ...transportOptions(transport), auth: { token: "wrong" } });
      assert.equal(await rejected.next("connect_error"), "not authorized");
    });

    it("stays disconnected if the server disconnects it, until the program connects it", async () => {
      const { started, connected } = await connect();
      started.does({ emit: ["kick"] });
      assert.equal(await started.next("disconnect"), "io server disconnect");
      started.does({ connect: true });
      assert.notEqual((await started.next("connect")).id, undefined);
      assert.equal(typeof connected.id, "string");
    });
  });
}
