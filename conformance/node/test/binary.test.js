// Binary arguments in both directions: at the top level, nested, several at once, and in acknowledgements.
import assert from "node:assert/strict";
import { it } from "node:test";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, overEachTransport, serverForTests } from "../support/suite.js";
import { next } from "../support/wait.js";

const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const bytes = (...values) => Buffer.from(values);

const ARGUMENTS = [
  ["every byte value", [every]],
  ["no bytes", [bytes()]],
  ["one byte, two and three, the lengths of base64 padding", [bytes(1), bytes(1, 2), bytes(1, 2, 3)]],
  ["bytes among other arguments", ["before", bytes(1, 2), { after: true }]],
  ["bytes in an object", [{ name: "file", content: bytes(4, 5, 6), size: 3 }]],
  ["bytes deep inside", [{ a: [{ b: [bytes(7), { c: bytes(8) }] }] }]],
  ["bytes in an order that is not the order of the keys' names", [{ z: bytes(1), a: bytes(2), m: [bytes(3)] }]],
  ["the same bytes twice", [every, every]],
  ["ten attachments, the most there may be", Array.from({ length: 10 }, (_, index) => bytes(index))],
  ["150 KB", [Buffer.alloc(150_000, every)]],
];

overEachTransport("binary", (transport) => {
  const server = serverForTests(startConformanceServer);

  for (const [what, values] of ARGUMENTS) {
    it(`comes back in an event: ${what}`, async () => {
      const socket = await server.connect(transport);
      const answer = next(socket, "echo-back");
      socket.emit("echo", ...values);
      assert.deepEqual(await answer, values);
    });

    it(`comes back in an acknowledgement: ${what}`, async () => {
      const socket = await server.connect(transport);
      assert.deepEqual(await acknowledged(socket, "echo-ack", ...values), values);
    });
  }

  it("may be a typed array or an array buffer", async () => {
    const socket = await server.connect(transport);
    const values = [new Uint8Array([1, 2]), new Uint8Array([3, 4]).buffer];
    assert.deepEqual(await acknowledged(socket, "echo-ack", ...values), [bytes(1, 2), bytes(3, 4)]);
  });

  it("comes as base64 to a client that asks for it", async () => {
    const sockets = await Promise.all([1, 2].map(() => server.connect(transport, { forceBase64: true })));
    const broadcast = next(sockets[1], "broadcast");
    assert.deepEqual(await acknowledged(sockets[0], "echo-ack", every), [every]);
    sockets[0].emit("broadcast", every);
    assert.deepEqual(await broadcast, [every]);
  });

  it("keeps its order among events without attachments", async () => {
    const socket = await server.connect(transport);
    const seen = [];
    socket.on("echo-back", (value) => seen.push(value));
    const values = Array.from({ length: 40 }, (_, number) => (number % 3 === 0 ? bytes(number) : number));
    for (const value of values) socket.emit("echo", value);
    await acknowledged(socket, "echo-ack");
    assert.deepEqual(seen, values);
  });

  it("reaches the others in a broadcast", async () => {
    const sockets = await Promise.all([1, 2, 3].map(() => server.connect(transport)));
    const received = sockets.slice(1).map((socket) => next(socket, "broadcast"));
    sockets[0].emit("broadcast", { content: every });
    for (const values of await Promise.all(received)) assert.deepEqual(values, [{ content: every }]);
  });

  it("with eleven attachments ends the connection", async () => {
    const socket = await server.connect(transport);
    const ended = next(socket, "disconnect");
    socket.emit("echo", ...Array.from({ length: 11 }, () => every));
    assert.match((await ended)[0], /^transport (close|error)$/);
  });
});
