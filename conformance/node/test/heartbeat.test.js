// The heartbeat: the server sends pings, the client responds with pongs, and each side closes the connection after a
// timeout.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PollingSession } from "../support/http.js";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, overEachTransport, reasonFor, serverForTests } from "../support/suite.js";
import { collect, next } from "../support/wait.js";
import { joinNamespace, openEngine } from "../support/websocket.js";

const quick = { args: ["--ping-interval", "200", "--ping-timeout", "800"] };

overEachTransport("the heartbeat", (transport) => {
  const server = serverForTests(startConformanceServer, quick);

  it("keeps a quiet connection open", async () => {
    const socket = await server.connect(transport);
    await collect(socket.io, "ping", 5);
    assert.deepEqual(await acknowledged(socket, "echo-ack", "alive"), ["alive"]);
  });

  it("that stops is `ping timeout` to the client", async () => {
    const socket = await server.connect(transport);
    const told = next(socket, "disconnect");
    server.server.signal("SIGSTOP");
    try {
      assert.equal((await told)[0], "ping timeout");
    } finally {
      server.server.signal("SIGCONT");
    }
  });
});

describe("the heartbeat, by hand", () => {
  const server = serverForTests(startConformanceServer, quick);

  it("is announced in the handshake", async () => {
    const session = await PollingSession.open(server.url);
    assert.equal(session.handshake.pingInterval, 200);
    assert.equal(session.handshake.pingTimeout, 800);
  });

  it("comes again after each answer, on a WebSocket", async () => {
    const raw = await joinNamespace(server.url);
    for (let round = 0; round < 3; round++) {
      assert.equal(await raw.receive(), "2");
      raw.send("3");
    }
    raw.end();
  });

  it("comes again after each answer, on polling", async () => {
    const session = await PollingSession.join(server.url);
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(await session.packets(), ["2"]);
      assert.equal((await session.post("3")).body, "ok");
    }
  });

  it("unanswered ends a WebSocket, as `ping timeout`", async () => {
    const watcher = await server.connect("websocket");
    const raw = await joinNamespace(server.url);
    const reason = reasonFor(watcher, raw.socketId);
    assert.equal(await raw.receive(), "2");
    assert.equal((await raw.ended()).code, 1005);
    assert.equal(await reason, "ping timeout");
  });

  it("unanswered ends a polling session, as `ping timeout`, and releases the pending request", async () => {
    const watcher = await server.connect("websocket");
    const session = await PollingSession.join(server.url);
    const reason = reasonFor(watcher, session.socketId);
    assert.deepEqual(await session.packets(), ["2"]);
    assert.deepEqual(await session.packets(), ["1"]);
    assert.equal(await reason, "ping timeout");
    assert.equal((await session.get()).status, 400);
  });

  it("may be answered unasked", async () => {
    const raw = await joinNamespace(server.url);
    raw.send("3");
    raw.send('420["echo-ack","fine"]');
    assert.equal(await raw.receive(), '430["fine"]');
    raw.end();
  });

  for (const [name, open, ping] of [
    ["a WebSocket", joinNamespace, (session) => session.send("2")],
    ["polling", PollingSession.join, (session) => session.post("2")],
  ]) {
    it(`is not for the client to begin: ${name} ends as \`transport error\``, async () => {
      const watcher = await server.connect("websocket");
      const session = await open(server.url);
      const reason = reasonFor(watcher, session.socketId);
      await ping(session);
      assert.equal(await reason, "transport error");
    });
  }
});

describe("a client that joins no namespace", () => {
  const server = serverForTests(startConformanceServer, { args: ["--connect-timeout", "500"] });

  it("is turned away after the connect timeout", async () => {
    const raw = await openEngine(server.url);
    assert.equal((await raw.ended()).code, 1005);
  });

  it("is not turned away when it has joined one", async () => {
    const socket = await server.connect("websocket");
    const raw = await openEngine(server.url);
    await raw.ended(); // the newer connection has timed out, so the deadline of the older one has passed too
    assert.deepEqual(await acknowledged(socket, "echo-ack", "still here"), ["still here"]);
  });
});
