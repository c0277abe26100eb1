// How connections end, and the reasons that each side reports.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, overEachTransport, reasonFor, serverForTests } from "../support/suite.js";
import { next } from "../support/wait.js";
import { joinNamespace } from "../support/websocket.js";

overEachTransport("a disconnection", (transport) => {
  const server = serverForTests(startConformanceServer);

  it("by the client is `client namespace disconnect` to the server", async () => {
    const [watcher, socket] = [await server.connect("websocket"), await server.connect(transport)];
    const reason = reasonFor(watcher, socket.id);
    const told = next(socket, "disconnect");
    socket.disconnect();
    assert.equal((await told)[0], "io client disconnect");
    assert.equal(await reason, "client namespace disconnect");
  });

  it("by the server is `io server disconnect` to the client", async () => {
    const [watcher, socket] = [await server.connect("websocket"), await server.connect(transport)];
    const reason = reasonFor(watcher, socket.id);
    const told = next(socket, "disconnect");
    socket.emit("kick");
    assert.equal((await told)[0], "io server disconnect");
    assert.equal(await reason, "server namespace disconnect");
    assert.equal(socket.active, false);
  });

  it("of one namespace by the server leaves the others", async () => {
    const main = await server.connect(transport);
    const custom = await server.share(main, "/custom");
    const told = next(custom, "disconnect");
    custom.emit("kick");
    assert.equal((await told)[0], "io server disconnect");
    assert.deepEqual(await acknowledged(main, "echo-ack", "still here"), ["still here"]);
  });

  it("of the whole connection by the server ends every namespace", async () => {
    const watcher = await server.connect("websocket");
    const main = await server.connect(transport);
    const custom = await server.share(main, "/custom");
    const reason = reasonFor(watcher, main.id);
    const told = [next(main, "disconnect"), next(custom, "disconnect"), next(main.io, "close")];
    custom.emit("kick-all");
    const [[mainReason], [customReason]] = await Promise.all(told);
    assert.deepEqual([mainReason, customReason], ["io server disconnect", "io server disconnect"]);
    assert.equal(await reason, "server namespace disconnect");
  });

  it("is in the list of those that the server has seen", async () => {
    const [watcher, socket] = [await server.connect("websocket"), await server.connect(transport)];
    const { id } = socket;
    const reason = reasonFor(watcher, id);
    socket.disconnect();
    await reason;
    const [list] = await acknowledged(watcher, "disconnects");
    assert.deepEqual(list.filter((gone) => gone.id === id), [{ id, reason: "client namespace disconnect" }]);
  });
});

describe("a connection that breaks", () => {
  const server = serverForTests(startConformanceServer);

  it("is `transport close` to the server when the WebSocket is cut", async () => {
    const watcher = await server.connect("websocket");
    const raw = await joinNamespace(server.url);
    const reason = reasonFor(watcher, raw.socketId);
    raw.end();
    assert.equal(await reason, "transport close");
  });

  it("is `transport close` to the server when the WebSocket is closed", async () => {
    const watcher = await server.connect("websocket");
    const raw = await joinNamespace(server.url);
    const reason = reasonFor(watcher, raw.socketId);
    raw.socket.close();
    assert.equal(await reason, "transport close");
    assert.equal((await raw.ended()).code, 1005);
  });
});
