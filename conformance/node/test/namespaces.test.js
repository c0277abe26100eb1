// Namespaces, rejected connects and middleware.
import assert from "node:assert/strict";
import { it } from "node:test";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, overEachTransportAndParser, serverForTests } from "../support/suite.js";
import { next, record } from "../support/wait.js";

overEachTransportAndParser("a namespace", (transport, parser) => {
  const server = serverForTests(startConformanceServer, { parser });

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

overEachTransportAndParser("a namespace on demand", (transport, parser) => {
  const server = serverForTests(startConformanceServer, { parser });
  const open = { auth: { token: "secret" } };
  const created = async (main, name) => (await acknowledged(main, "namespaces"))[0].filter((one) => one === name).length;

  it("whose name matches a pattern is created with the handlers of its parent", async () => {
    const main = await server.connect(transport);
    assert.equal(await created(main, "/room-1"), 0);
    const room = await server.share(main, "/room-1");
    const other = await server.connect(transport, { namespace: "/room-1" });
    assert.deepEqual(await acknowledged(room, "where"), ["/room-1"]);
    assert.deepEqual(await acknowledged(other, "where"), ["/room-1"]);
    assert.equal(await created(main, "/room-1"), 1);
  });

  it("has the middleware of its parent", async () => {
    await assert.rejects(server.connect(transport, { namespace: "/room-2", auth: { banned: true } }), /^Error: banned$/);
    await assert.rejects(server.connect(transport, { namespace: "/open-2", auth: { token: "secret", banned: true } }), /^Error: banned$/);
  });

  it("that a predicate allows is created", async () => {
    const main = await server.connect(transport);
    const room = await server.share(main, "/open-1", open);
    assert.deepEqual(await acknowledged(room, "where"), ["/open-1"]);
  });

  it("that no parent allows is refused", async () => {
    for (const [namespace, auth] of [
      ["/room-x", {}],
      ["/room-", { token: "secret" }],
      ["/x/room-1", {}],
      ["/open-3", { token: "wrong" }],
      ["/open-3", { token: "secret", fail: true }],
    ]) {
      await assert.rejects(server.connect(transport, { namespace, auth }), /^Error: Invalid namespace$/, namespace);
    }
  });

  it("that the program has created belongs to the pattern", async () => {
    const main = await server.connect(transport);
    const room = await server.share(main, "/room-0");
    assert.deepEqual(await acknowledged(room, "where"), ["/room-0"]);
  });

  it("does not hold up its connection while a predicate waits", async () => {
    const main = await server.connect(transport);
    const joining = server.share(main, "/open-4", { auth: { token: "secret", wait: true } });
    assert.deepEqual(await acknowledged(main, "echo-ack", "meanwhile"), ["meanwhile"]);
    assert.equal(await created(main, "/open-4"), 0);
    main.emit("release");
    await joining;
    assert.equal(await created(main, "/open-4"), 1);
  });

  it("is shared by the clients that wait for it", async () => {
    const main = await server.connect(transport);
    const other = await server.connect(transport);
    const waiting = { auth: { token: "secret", wait: true } };
    const joining = [main, other].map((one) => server.share(one, "/open-5", waiting));
    // The request of each client has arrived before its event.
    await Promise.all([main, other].map((one) => acknowledged(one, "echo-ack")));
    main.emit("release");
    await Promise.all(joining);
    assert.equal(await created(main, "/open-5"), 1);
  });

  it("receives what is sent to all children of its parent", async () => {
    const [one, two] = await Promise.all(["/room-6", "/room-7"].map((namespace) => server.connect(transport, { namespace })));
    const other = await server.connect(transport, { namespace: "/open-6", ...open });
    const overheard = record(other, "told");
    const told = Promise.all([one, two].map((room) => next(room, "told")));
    one.emit("tell-all", "all");
    assert.deepEqual(await told, [["all"], ["all"]]);
    await acknowledged(two, "join", "red");
    const toRoom = next(two, "told");
    one.emit("tell-room", { room: "red", data: "red" });
    assert.deepEqual(await toRoom, ["red"]);
    await acknowledged(other, "where");
    assert.deepEqual(overheard, []);
  });

  it("is removed when its last client has left, and may be created again", async () => {
    const main = await server.connect(transport);
    const room = await server.share(main, "/room-8");
    room.disconnect();
    // Node closes a connection whose DISCONNECT and CONNECT arrive together.
    await acknowledged(main, "echo-ack");
    const again = next(room, "connect");
    room.connect();
    await again;
    assert.equal(await created(main, "/room-8"), 2);
  });
});
