// Clients that read slowly, and events that are not compressed.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { io } from "socket.io-client";
import { PollingSession, request } from "../support/http.js";
import { Relay } from "../support/relay.js";
import { startConformanceServer } from "../support/server.js";
import { PARSERS, acknowledged, ours, serverForTests } from "../support/suite.js";
import { next, nextWhere, record } from "../support/wait.js";

const LONG = "tide ".repeat(2_000);

for (const parser of Object.values(PARSERS)) describe(`events of a client that reads slowly, with ${parser.name},`, () => {
  const server = serverForTests(startConformanceServer, { parser });
  const [count, bytes] = [300, Buffer.alloc(100_000, 7)]; // 30 MB, which is more than the sockets of the kernel hold
  const inNamespace = { namespace: "/slow" };
  const isInOrder = (numbers) => assert.deepEqual(numbers, numbers.toSorted((one, other) => one - other));

  it("all arrive if the program waits for capacity", async () => {
    const [slow, fast] = [await server.connect("websocket", inNamespace), await server.connect("websocket", inNamespace)];
    const parts = record(slow, "part");
    const webSocket = slow.io.engine.transport.ws;
    const behind = next(fast, "behind");
    webSocket.pause();
    const sent = acknowledged(slow, "wait for capacity", count, bytes);
    await behind;
    await acknowledged(fast, "ping");
    webSocket.resume();
    assert.deepEqual(await sent, []);
    assert.deepEqual(parts.map(([number]) => number), Array.from({ length: count }, (_, number) => number));
    assert.ok(parts.every(([, part]) => part.equals(bytes)));
    assert.equal(slow.connected, true);
  });

  it("are dropped if they are volatile, and others arrive after them", async () => {
    const [slow, fast] = [await server.connect("websocket", inNamespace), await server.connect("websocket", inNamespace)];
    const seen = record(slow, "fleeting");
    const webSocket = slow.io.engine.transport.ws;
    webSocket.pause();
    const [sent, ended] = [next(fast, "ended"), next(slow, "ended")];
    fast.emit("fleeting", count, bytes);
    await sent;
    webSocket.resume();
    await ended;
    assert.ok(seen.length > 0 && seen.length < count, `${seen.length} events`);
    isInOrder(seen.map(([number]) => number));
    await acknowledged(slow, "ping");
    assert.equal(slow.connected, true);
  });

  ours("are the latest ones of a key after a while, behind earlier ones in order", async () => {
    const [slow, fast] = [await server.connect("websocket"), await server.connect("websocket")];
    const states = record(slow, "state");
    const webSocket = slow.io.engine.transport.ws;
    webSocket.pause();
    await acknowledged(fast, "latest", count, bytes);
    const last = nextWhere(slow, "state", (number) => number === count - 1);
    webSocket.resume();
    await last;
    assert.ok(states.length < count, `${states.length} states`);
    isInOrder(states.map(([number]) => number));
    assert.equal(slow.connected, true);
  });
});

describe("an event while no poll is waiting", () => {
  const server = serverForTests(startConformanceServer);

  it("is dropped if it is volatile", async () => {
    const session = await PollingSession.join(server.url);
    await session.post('42["volatile","lost"]');
    await session.post('42["echo","kept"]');
    assert.deepEqual(await session.packets(), ['42["echo-back","kept"]']);
  });

  ours("waits for the next poll if it is the latest of its key, behind what is queued", async () => {
    const session = await PollingSession.join(server.url);
    const other = await server.connect("websocket");
    await acknowledged(other, "latest", 5, "x");
    other.emit("to-room", { room: session.socketId, data: "queued" });
    await acknowledged(other, "latest", 7, "x");
    const packets = await session.packets();
    assert.deepEqual(packets, ['42["to-room","queued"]', '42["state",6,"x"]']);
  });
});

describe("an event that must not be compressed, over long-polling,", () => {
  const server = serverForTests(startConformanceServer, { args: ["--per-message-deflate", "1024"] });

  /** Returns the encoding and the packets of the response to the next poll after these events. */
  const polled = async (...events) => {
    const session = await PollingSession.join(server.url);
    for (const event of events) await session.post(`42${JSON.stringify(event(session))}`);
    const { headers } = await request(session.url, { headers: { "accept-encoding": "gzip" } });
    return headers["content-encoding"];
  };
  const compressed = () => ["echo", LONG];
  const uncompressed = () => ["uncompressed", LONG];
  const toRoom = ({ socketId }) => ["uncompressed-room", { room: socketId, data: LONG }];

  it("is in a response that is compressed only if another packet may be", async () => {
    assert.equal(await polled(compressed), "gzip");
    assert.equal(await polled(uncompressed), undefined);
    assert.equal(await polled(toRoom), undefined);
    assert.equal(await polled(uncompressed, toRoom), undefined);
    assert.equal(await polled(uncompressed, compressed), "gzip");
  });
});

for (const parser of Object.values(PARSERS)) describe(`an event that must not be compressed, with ${parser.name},`, () => {
  const server = serverForTests(startConformanceServer, { parser, args: ["--per-message-deflate", "1024"] });

  it("arrives over WebSocket", async () => {
    const socket = await server.connect("websocket");
    const received = next(socket, "uncompressed");
    socket.emit("uncompressed", LONG);
    assert.deepEqual(await received, [LONG]);
  });

  // Node ignores the flag on WebSocket.
  ours("takes its whole length on WebSocket, and the next event is compressed", async () => {
    const relay = await Relay.start(server.url);
    const options = { forceNew: true, reconnection: false, transports: ["websocket"], ...parser.clientOptions };
    const socket = io(relay.url, options);
    await next(socket, "connect");
    const bytesOf = async (event, answer) => {
      const before = relay.received;
      const received = next(socket, answer);
      socket.emit(event, LONG);
      await received;
      return relay.received - before;
    };
    assert.ok((await bytesOf("uncompressed", "uncompressed")) > LONG.length);
    assert.ok((await bytesOf("echo", "echo-back")) < LONG.length / 10);
    socket.disconnect();
    relay.stop();
  });
});
