// Connecting and disconnecting with the official client.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startApplication, startConformanceServer } from "../support/server.js";
import { acknowledged, overEachTransport, serverForTests } from "../support/suite.js";
import { next } from "../support/wait.js";

overEachTransport("a connection", (transport) => {
  const server = serverForTests(startApplication);

  it("opens with the transports that were asked for", async () => {
    const socket = await server.connect(transport);
    assert.equal(socket.connected, true);
    assert.equal(socket.io.engine.transport.name, transport === "polling" ? "polling" : "websocket");
  });

  it("has a public id of 20 characters that is not the session id", async () => {
    const socket = await server.connect(transport);
    assert.match(socket.id, /^[\w-]{20}$/);
    assert.match(socket.io.engine.id, /^[\w-]{20}$/);
    assert.notEqual(socket.id, socket.io.engine.id);
  });

  it("gets a new id when the client disconnects and connects again", async () => {
    const socket = await server.connect(transport);
    const before = socket.id;
    socket.disconnect();
    const connected = next(socket, "connect");
    socket.connect();
    await connected;
    assert.match(socket.id, /^[\w-]{20}$/);
    assert.notEqual(socket.id, before);
  });

  it("delivers what was emitted before it opened, in order", async () => {
    const socket = server.client(transport);
    const answers = [acknowledged(socket, "join-room", "early"), acknowledged(socket, "message", "early")];
    const echoed = next(socket, "message");
    socket.connect();
    assert.deepEqual(await echoed, ["Echo: early"]);
    assert.deepEqual(await Promise.all(answers), [[], []]);
  });
});

describe("many connections", () => {
  const server = serverForTests(startConformanceServer);

  it("opened at once, each answer their own client", async () => {
    const sockets = await Promise.all(
      Array.from({ length: 60 }, (_, index) => server.connect(["polling", "websocket"][index % 2])),
    );
    assert.equal(new Set(sockets.map((socket) => socket.id)).size, sockets.length);
    const answers = await Promise.all(sockets.map((socket, index) => acknowledged(socket, "echo-ack", index)));
    assert.deepEqual(answers, sockets.map((_, index) => [index]));
  });
});
