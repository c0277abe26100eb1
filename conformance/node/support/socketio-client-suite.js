// What Tidewire's client of Socket.IO does with a server, whichever parser both use.
import assert from "node:assert/strict";
import { it } from "node:test";
import { clientsForTests, transportOptions } from "./socketio-client.js";
import { serverForTests } from "./suite.js";

const VALUES = [
  null,
  true,
  -1.5,
  "größer € 👩‍👩‍👧 \u0000 \"quoted\"",
  [],
  [1, [2, { three: 3 }]],
  {},
  { "a b": { c: [null, false] }, ä: "ö" },
  { $bytes: "" },
  { deep: [{ $bytes: "0001feff" }, { more: { $bytes: "aa" } }] },
];

/** Describes the client and a server. `start` is a start function from `server.js`, and `describe` of `suite.js` or Node. */
export function describeClient({ name, start, describe, transport, parser }) {
  describe(`our client of Socket.IO and ${name} over ${transport}`, () => {
    const server = serverForTests(start, { args: parser ? ["--parser", parser] : [] });
    const { client } = clientsForTests();
    const settings = { ...transportOptions(transport), parser };
    const connect = async (more = {}, path = "/") => {
      const started = client(server.url + path, { ...settings, ...more });
      return { started, connected: await started.next("connect") };
    };

    it("connects, and gets an id", async () => {
      const { connected } = await connect();
      assert.equal(typeof connected.id, "string");
      assert.equal(connected.recovered, false);
    });

    it("sends and gets values of every kind", async () => {
      const { started } = await connect();
      for (const value of VALUES) {
        started.does({ emit: ["echo", value, "and", value] });
        assert.deepEqual(await started.event(), ["echo-back", value, "and", value]);
      }
      started.does({ emit: ["echo"] });
      assert.deepEqual(await started.event(), ["echo-back"]);
    });

    it("gets acknowledgements", async () => {
      const { started } = await connect();
      for (const value of VALUES) {
        started.does({ ask: ["echo-ack", value], timeout: 5_000 });
        assert.deepEqual(await started.next("answer"), [value]);
      }
    });

    it("acknowledges events of the server", async () => {
      const { started } = await connect();
      for (const value of VALUES) {
        started.does({ emit: ["ask", value] });
        assert.deepEqual(await started.event(), ["question", value]);
        assert.deepEqual(await started.event(), ["answered", value]);
      }
    });

    it("fails acknowledgements that do not arrive in time", async () => {
      const { started } = await connect();
      started.does({ ask: ["nobody answers this"], timeout: 50 });
      assert.equal(await started.next("ackError"), "operation has timed out");
    });

    it("keeps the order of what it sends and gets", async () => {
      const { started } = await connect();
      const numbers = Array.from({ length: 500 }, (_, number) => number);
      started.does(...numbers.map((number) => ({ emit: ["echo", number] })));
      for (const number of numbers) assert.deepEqual(await started.event(), ["echo-back", number]);
    });

    it("sends what it has buffered once it is connected", async () => {
      const started = client(server.url, { ...settings, autoConnect: false });
      started.does({ emit: ["echo", "a"] }, { emit: ["echo", "dropped"], volatile: true });
      started.does({ ask: ["echo-ack", "b"], timeout: 5_000 }, { connect: true });
      await started.next("connect");
      assert.deepEqual(await started.event(), ["echo-back", "a"]);
      assert.deepEqual(await started.next("answer"), ["b"]);
    });

    it("uses several namespaces on one connection", async () => {
      const { started } = await connect({ auths: { "/admin": { token: "secret" }, "/custom": null } });
      started.does({ nsp: "/admin", connect: true }, { nsp: "/custom", connect: true });
      assert.deepEqual(await started.next("event", "/admin"), ["welcome", { token: "secret" }]);
      await started.next("connect", "/custom");
      started.does({ nsp: "/custom", emit: ["echo", 1] }, { nsp: "/custom", disconnect: true });
      started.does({ nsp: "/admin", ask: ["echo-ack", 2], timeout: 5_000 });
      assert.deepEqual(await started.next("answer", "/admin"), [2]);
    });

    it("is told why the server rejects it, and does not try again by itself", async () => {
      const started = client(`${server.url}/admin`, { ...settings, auth: { token: "wrong" } });
      const { connect_error: message, data } = await started.says();
      assert.deepEqual({ message, data }, { message: "not authorized", data: { code: 401 } });
      started.does({ nsp: "/", connect: true });
      await started.next("connect", "/");
      started.does({ nsp: "/no-such-namespace", connect: true });
      assert.equal(await started.next("connect_error", "/no-such-namespace"), "Invalid namespace");
      started.does({ nsp: "/", ask: ["echo-ack", 1], timeout: 5_000 });
      await started.next("answer", "/");
      assert.ok(started.said.every((line) => line.nsp !== "/admin" || !("connect" in line)));
    });

    it("stays disconnected if the server disconnects it, until the program connects it", async () => {
      for (const kick of ["kick", "kick-all"]) {
        const { started, connected } = await connect();
        started.does({ emit: [kick] });
        assert.equal(await started.next("disconnect"), "io server disconnect");
        started.does({ connect: true });
        assert.notEqual((await started.next("connect")).id, connected.id);
      }
    });

    it("tells the server that it leaves", async () => {
      const [{ started: stays }, { started: leaves, connected }] = [await connect(), await connect()];
      leaves.does({ disconnect: true });
      assert.equal(await leaves.next("disconnect"), "io client disconnect");
      for (;;) {
        const [name, { id, reason }] = await stays.next("event");
        if (name === "gone" && id === connected.id) {
          assert.equal(reason, "client namespace disconnect");
          break;
        }
      }
    });

    it("ends with its last step", async () => {
      const { started } = await connect();
      started.does({ end: true });
      assert.equal(await started.ended(), 0);
    });
  });
}
