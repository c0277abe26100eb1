// Clients that read slowly, and events that are not compressed.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { io } from "socket.io-client";
import { PollingSession, request } from "../support/http.js";
import { Relay } from "../support/relay.js";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, ours, serverForTests } from "../support/suite.js";
import { next, nextWhere, record } from "../support/wait.js";

const LONG = "tide ".repeat(2_000);

describe("the latest event of a key", () => {
  const server = serverForTests(startConformanceServer);

  ours("reaches a WebSocket client that has not read for a while, after earlier ones in order", async () => {
    const count = 3_000;
    const [slow, fast] = [await server.connect("websocket"), await server.connect("websocket")];
    const states = record(slow, "state");
    const webSocket = slow.io.engine.transport.ws;
    webSocket.pause();
    // 30 MB, which is more than the sockets of the kernel hold.
    await acknowledged(fast, "latest", count, "x".repeat(10_000));
    const last = nextWhere(slow, "state", (number) => number === count - 1);
    webSocket.resume();
    await last;
    assert.ok(states.length < count, `${states.length} states`);
    const numbers = states.map(([number]) => number);
    assert.deepEqual(numbers, numbers.toSorted((one, other) => one - other));
    assert.equal(slow.connected, true);
  });

  ours("waits for the next poll, behind what is queued", async () => {
    const session = await PollingSession.join(server.url);
    const other = await server.connect("websocket");
    await acknowledged(other, "latest", 5, "x");
    other.emit("to-room", { room: session.socketId, data: "queued" });
    await acknowledged(other, "latest", 7, "x");
    const packets = await session.packets();
    assert.deepEqual(packets, ['42["to-room","queued"]', '42["state",6,"x"]']);
  });
});

describe("an event that must not be compressed", () => {
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

  it("arrives over WebSocket", async () => {
    const socket = await server.connect("websocket");
    const received = next(socket, "uncompressed");
    socket.emit("uncompressed", LONG);
    assert.deepEqual(await received, [LONG]);
  });

  // Node ignores the flag on WebSocket.
  ours("takes its whole length on WebSocket, and the next event is compressed", async () => {
    const relay = await Relay.start(server.url);
    const socket = io(relay.url, { forceNew: true, reconnection: false, transports: ["websocket"] });
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
