// Namespaces, rejected connects and middleware.
import assert from "node:assert/strict";
import { it } from "node:test";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, overEachTransport, serverForTests } from "../support/suite.js";
import { next, record } from "../support/wait.js";

overEachTransport("a namespace", (transport) => {
  const server = serverForTests(startConformanceServer);

  it("other than the main one is joined and used", async () => {
    const socket = await server.connect(transport, { namespace: "/custom" });
    assert.deepEqual(await acknowledged(socket, "echo-ack", "custom"), ["custom"]);
  });

  it("shares its connection with others, under an id of its own", async () => {
    const main = await server.connect(transport);
    const custom = await server.share(main, "/custom");
    assert.equal(custom.io.engine, main.io.engine);
    assert.notEqual(custom.id, main.id);
    assert.deepEqual(await Promise.all([main, custom].map((one) => one.emitWithAck("echo-ack", one.nsp))), ["/", "/custom"]);
  });

  it("keeps its broadcasts to itself", async () => {
    const main = await server.connect(transport);
    const custom = await server.share(main, "/custom");
    const other = await server.connect(transport, { namespace: "/custom" });
    const overheard = record(main, "broadcast");
    const received = next(custom, "broadcast");
    other.emit("broadcast", "for /custom");
    assert.deepEqual(await received, ["for /custom"]);
    await acknowledged(main, "echo-ack");
    assert.deepEqual(overheard, []);
  });

  it("keeps its rooms to itself", async () => {
    const main = await server.connect(transport);
    const custom = await server.share(main, "/custom");
    await acknowledged(main, "join", "same name");
    assert.deepEqual(await acknowledged(custom, "rooms"), [[custom.id]]);
  });

  it("may be left while the others stay", async () => {
    const main = await server.connect(transport);
    const custom = await server.share(main, "/custom");
    custom.disconnect();
    assert.deepEqual(await acknowledged(main, "echo-ack", "still here"), ["still here"]);
    assert.equal(main.connected, true);
  });

  it("that does not exist is refused, and the connection stays", async () => {
    const main = await server.connect(transport);
    await assert.rejects(server.share(main, "/nowhere"), (error) => {
      assert.equal(error.message, "Invalid namespace");
      assert.equal(error.data, undefined);
      return true;
    });
    assert.deepEqual(await acknowledged(main, "echo-ack", "still here"), ["still here"]);
  });

  it("whose middleware refuses says why, with data", async () => {
    for (const auth of [undefined, {}, { token: "wrong" }]) {
      await assert.rejects(server.connect(transport, { namespace: "/admin", auth }), (error) => {
        assert.equal(error.message, "not authorized");
        assert.deepEqual(error.data, { code: 401 });
        return true;
      });
    }
  });

  it("whose middleware lets in sees the credentials", async () => {
    const socket = server.client(transport, { namespace: "/admin", auth: { token: "secret", name: "Änne" } });
    const welcomed = next(socket, "welcome");
    socket.connect();
    assert.deepEqual(await welcomed, [{ token: "secret", name: "Änne" }]);
  });

  it("may be joined after a refusal, with better credentials", async () => {
    const main = await server.connect(transport);
    const admin = main.io.socket("/admin");
    admin.auth = { token: "wrong" };
    const refused = next(admin, "connect_error");
    admin.connect();
    await refused;
    admin.auth = { token: "secret" };
    const welcomed = next(admin, "welcome");
    admin.connect();
    assert.deepEqual(await welcomed, [{ token: "secret" }]);
    assert.deepEqual(await acknowledged(admin, "echo-ack", "inside"), ["inside"]);
  });
});
