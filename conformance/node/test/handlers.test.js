// Handlers that take the events of a socket from a stream, that overlap, and that fail when a client connects.
import assert from "node:assert/strict";
import { it } from "node:test";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, describeOurs, overEachTransport, overEachTransportAndParser, serverForTests } from "../support/suite.js";
import { next, record } from "../support/wait.js";

overEachTransportAndParser("a stream of events", (transport, parser) => {
  const server = serverForTests(startConformanceServer, { parser });
  const options = { namespace: "/stream" };

  it("has every event in order, and acknowledges those that want it", async () => {
    const socket = await server.connect(transport, options);
    const answers = [];
    for (let number = 0; number < 100; number++) {
      if (number % 3 === 0) socket.emit("unanswered", number);
      else answers.push(acknowledged(socket, `event ${number}`, number, { bytes: Buffer.from([number]) }));
    }
    const numbers = Array.from({ length: 100 }, (_, number) => number).filter((number) => number % 3 !== 0);
    const expected = numbers.map((number) => [number, `event ${number}`, [number, { bytes: Buffer.from([number]) }]]);
    assert.deepEqual(await Promise.all(answers), expected);
  });

  it("ends with its socket, after the events before the disconnect", async () => {
    const [socket, other] = [await server.connect(transport, options), await server.connect(transport, options)];
    const { id } = socket;
    const ended = next(other, "ended");
    socket.emit("last");
    socket.disconnect();
    assert.deepEqual(await ended, [id]);
    assert.deepEqual(await acknowledged(other, "first"), [0, "first", []]);
  });
});

overEachTransport("a handler that waits", (transport) => {
  const server = serverForTests(startConformanceServer);

  it("does not hold up later events if it is concurrent", async () => {
    const socket = await server.connect(transport, { namespace: "/concurrent" });
    const begun = record(socket, "begun");
    const waiting = [1, 2, 3].map((number) => acknowledged(socket, "wait", number));
    socket.emit("release", 3);
    assert.deepEqual(await Promise.all(waiting), [[1], [2], [3]]);
    assert.deepEqual(begun, [[1], [2], [3]]);
  });
});

describeOurs("a namespace with a limit of two handlers of one socket", () => {
  const server = serverForTests(startConformanceServer);

  it("starts the third when one of the first two has finished", async () => {
    const options = { namespace: "/limited" };
    const [socket, other] = [await server.connect("websocket", options), await server.connect("websocket", options)];
    const seen = [];
    socket.onAny((...event) => seen.push(event));
    const began = async (number) => {
      while (!seen.some(([name, value]) => name === "begun" && value === number)) await next(socket, "begun");
    };
    const waiting = [1, 2, 3].map((number) => acknowledged(socket, "wait", number));
    await began(2);
    other.emit("release", 1);
    await began(3);
    assert.deepEqual(seen.slice(0, 2), [["begun", 1], ["begun", 2]]);
    assert.equal(seen[2][0], "finished");
    assert.deepEqual(seen[3], ["begun", 3]);
    other.emit("release", 2);
    assert.deepEqual(await Promise.all(waiting), [[1], [2], [3]]);
  });
});

describeOurs("a connection handler that fails", () => {
  const server = serverForTests(startConformanceServer);

  for (const fail of ["error", "panic"]) {
    it(`disconnects its socket and nothing else: ${fail}`, async () => {
      const main = await server.connect("websocket");
      const failing = main.io.socket("/failing");
      failing.auth = { fail };
      const disconnected = next(failing, "disconnect");
      failing.connect();
      assert.equal((await disconnected)[0], "io server disconnect");
      assert.deepEqual(await acknowledged(main, "echo-ack", "still here"), ["still here"]);
      failing.auth = {};
      const connected = next(failing, "connect");
      failing.connect();
      await connected;
      assert.deepEqual(await acknowledged(failing, "echo", [1, Buffer.from([2])]), [[1, Buffer.from([2])]]);
    });
  }
});
