// Middleware and observers of events, handlers for one event, and the rooms of a socket that disconnects.
import assert from "node:assert/strict";
import { it } from "node:test";
import { startConformanceServer } from "../support/server.js";
import { TRANSPORTS, acknowledged, ours, overEachTransportAndParser, serverForTests } from "../support/suite.js";
import { collect, next, record } from "../support/wait.js";

/** The hooks belong to the socket, or to the namespace, which only Tidewire has. */
const HOOKS = [
  ["its socket", { namespace: "/events" }, TRANSPORTS],
  ["its namespace", { namespace: "/hooks" }, ["websocket"]],
];

for (const [owner, options, transports] of HOOKS) overEachTransportAndParser(`an event and the hooks of ${owner}`, (transport, parser) => {
  const server = serverForTests(startConformanceServer, { parser });

  it("passes the middleware, which can change its name and arguments", async () => {
    const socket = await server.connect(transport, options);
    const answers = collect(socket, "echo-back", 2);
    socket.emit("echo", 0, "as it is");
    socket.emit("old name", 0);
    assert.deepEqual(await answers, [[0, "as it is"], ["renamed"]]);
  });

  it("that the middleware refuses does not reach its handler", async () => {
    const socket = await server.connect(transport, options);
    const echoed = record(socket, "echo-back");
    socket.emit("refused");
    const answer = next(socket, "echo-back");
    socket.emit("echo", "accepted");
    await answer;
    assert.deepEqual(echoed, [["accepted"]]);
  });

  ours("that the middleware refuses is acknowledged with the error", async () => {
    const socket = await server.connect(transport, options);
    assert.deepEqual(await acknowledged(socket, "refused"), [{ error: "refused" }]);
  });

  ours("keeps its place while the middleware waits", async () => {
    const socket = await server.connect(transport, options);
    const answers = collect(socket, "echo-back", 300);
    for (let number = 0; number < 300; number++) socket.emit("echo", number);
    assert.deepEqual(await answers, Array.from({ length: 300 }, (_, number) => [number]));
  });

  it("is seen by the observers, in both directions", async () => {
    const [socket, other] = [await server.connect(transport, options), await server.connect(transport, options)];
    socket.emit("refused");
    socket.emit("nobody handles this");
    const received = [next(socket, "echo-back"), next(socket, "to-all")];
    socket.emit("old name");
    await received[0];
    other.emit("to-all");
    await received[1];
    assert.deepEqual(await acknowledged(socket, "observed"), [
      { received: ["refused", "nobody handles this", "old name", "observed"], sent: ["echo-back", "to-all"] },
    ]);
  });

  it("finds a handler for one event once, and a handler that was removed not at all", async () => {
    const socket = await server.connect(transport, options);
    const [once, untilOff] = [record(socket, "once-back"), record(socket, "until-off-back")];
    for (const name of ["once", "once", "until off", "until off", "off", "until off"]) {
      socket.emit(name);
      await acknowledged(socket, "join", "a room"); // Node does not wait for the middleware of the event before
    }
    assert.deepEqual([once.length, untilOff.length], [1, 2]);
  });
}, transports);

for (const [owner, options, transports] of HOOKS) overEachTransportAndParser(`a socket that disconnects and the hook of ${owner}`, (transport, parser) => {
  const server = serverForTests(startConformanceServer, { parser });

  it("is still in its rooms when the server is told", async () => {
    const [socket, other] = [await server.connect(transport, options), await server.connect(transport, options)];
    for (const [one, room] of [[socket, "left"], [socket, "own"], [other, "left"]]) await acknowledged(one, "join", room);
    const leaving = next(other, "leaving");
    socket.disconnect();
    assert.deepEqual(await leaving, ["left", "client namespace disconnect"]);
  });
}, transports);
