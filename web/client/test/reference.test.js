// The official client and ours against Node's own Socket.IO server, with the same results.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { afterEach, describe, it } from "node:test";
import { Server } from "socket.io";
import * as official from "socket.io-client";
import messagePack from "socket.io-msgpack-parser";
import * as json from "socket.io-parser";
import { WebSocket } from "ws";
import * as ours from "../dist/tidewire.js";
import * as oursWithMessagePack from "../dist/tidewire-msgpack.js";

globalThis.WebSocket = WebSocket; // Node 20 has none.

const CLIENTS = { "socket.io-client": official, tidewire: ours };
const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"], "polling, then upgraded": ["polling", "websocket"] };

const cleanups = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Starts a server. `url` is where it listens. */
async function serve(options) {
  const http = createServer();
  const server = new Server(http, options);
  await new Promise((done) => http.listen(0, "127.0.0.1", done));
  cleanups.push(() => server.close());
  return Object.assign(server, { url: `http://127.0.0.1:${http.address().port}` });
}

/** Connects a client. `socket.events` lists the events that it receives. */
async function connect({ io }, url, options) {
  const socket = io(url, { forceNew: true, reconnectionDelay: 10, reconnectionDelayMax: 50, ...options });
  cleanups.push(() => socket.disconnect());
  socket.events = [];
  socket.onAny((...event) => socket.events.push(event));
  await next(socket, "connect");
  return socket;
}

const next = (emitter, event) => new Promise((done) => emitter.once(event, (...values) => done(values)));

/** Ends the connection, not the socket, and waits until the server knows. The client does not reconnect by itself then. */
async function cut(socket, server) {
  socket.io.reconnection(false);
  const ended = next(server.sockets.sockets.get(socket.id), "disconnect");
  socket.io.engine.close();
  await ended;
}

for (const [name, client] of Object.entries(CLIENTS)) {
  for (const [transport, transports] of Object.entries(TRANSPORTS)) {
    describe(`${name} over ${transport}`, () => {
      it("gets what it has missed, once and in order, and keeps its id", async () => {
        const io = await serve({ connectionStateRecovery: {} });
        io.on("connection", (socket) => socket.join("room"));
        const socket = await connect(client, io.url, { transports });
        const { id } = socket;
        assert.equal(socket.recovered, false);
        const first = next(socket, "news");
        io.to("room").emit("news", 1);
        await first;
        for (let round = 0; round < 3; round++) {
          await cut(socket, io);
          io.to("room").emit("news", `missed ${round}`);
          io.to("room").emit("news", Buffer.of(round));
          io.to("other").emit("news", "for others");
          const back = next(socket, "connect");
          socket.connect();
          await back;
          assert.deepEqual([socket.recovered, socket.id], [true, id]);
        }
        const last = next(socket, "last");
        io.emit("last");
        await last;
        const news = socket.events.map(([event, value]) => (typeof value === "object" ? [...new Uint8Array(value)] : event === "last" ? event : value));
        assert.deepEqual(news, [1, "missed 0", [0], "missed 1", [1], "missed 2", [2], "last"]);
      });

      it("is told that it has missed something, if the server has forgotten it", async () => {
        const io = await serve({ connectionStateRecovery: { maxDisconnectionDuration: 1 } });
        const socket = await connect(client, io.url, { transports });
        const { id } = socket;
        const first = next(socket, "news");
        io.emit("news", 1);
        await first;
        await cut(socket, io);
        await new Promise((done) => setTimeout(done, 5));
        const back = next(socket, "connect");
        socket.connect();
        await back;
        assert.equal(socket.recovered, false);
        assert.notEqual(socket.id, id);
      });

      it("sends an event again until it is acknowledged, in order, over many broken connections", async () => {
        const io = await serve();
        const received = [];
        io.on("connection", (socket) =>
          socket.on("number", (number, acknowledge) => {
            received.push(number);
            // A part of the acknowledgements is lost with their connection.
            if (received.length % 7 === 3) socket.conn.close();
            else acknowledge(number);
          }),
        );
        const socket = await connect(client, io.url, { transports, retries: 20, ackTimeout: 5_000 });
        const answers = await Promise.all(
          Array.from({ length: 30 }, (_, number) => new Promise((done) => socket.emit("number", number, (error, answer) => done(error ?? answer)))),
        );
        assert.deepEqual(answers, Array.from({ length: 30 }, (_, number) => number));
        assert.deepEqual([...new Set(received)], answers, "the first deliveries are in order");
        assert.deepEqual(received, [...received].sort((a, b) => a - b), "nothing overtakes");
      });

      it("gives up an event after its retries", async () => {
        const io = await serve();
        let tries = 0;
        io.on("connection", (socket) => {
          socket.on("lost", () => tries++);
          socket.on("tries", (acknowledge) => acknowledge(tries));
        });
        const socket = await connect(client, io.url, { transports, retries: 2, ackTimeout: 20 });
        const [error] = await new Promise((done) => socket.emit("lost", (...values) => done(values)));
        assert.equal(error.message, "operation has timed out");
        assert.equal(await socket.timeout(10_000).emitWithAck("tries"), 3);
      });

      it("is refused with the data of the middleware, and may try again", async () => {
        const io = await serve();
        io.use(({ handshake }, next) => next(handshake.auth.token ? undefined : Object.assign(new Error("who?"), { data: { a: 1 } })));
        const socket = client.io(io.url, { forceNew: true, transports });
        cleanups.push(() => socket.disconnect());
        const [error] = await next(socket, "connect_error");
        assert.deepEqual([error.message, error.data, socket.active], ["who?", { a: 1 }, false]);
        socket.auth = { token: "x" };
        socket.connect();
        await next(socket, "connect");
      });
    });
  }

  it(`${name} sends the same packets`, async () => {
    const io = await serve();
    const seen = [];
    io.engine.on("connection", (connection) => connection.on("message", (data) => seen.push(typeof data === "string" ? data : [...data])));
    const socket = client.io(`${io.url}/`, { forceNew: true, transports: ["websocket"], auth: { token: "x" } });
    io.on("connection", (socket) => {
      socket.on("ask", (...values) => values.pop()("answer"));
      socket.emit("question", (answer) => socket.emit("done", answer));
    });
    socket.on("question", (answer) => answer(Uint8Array.of(7), { a: [Uint8Array.of(8)] }));
    socket.emit("buffered", 1);
    await next(socket, "done");
    socket.emit("e", null, undefined, new Date(0), { toJSON: () => 5 }, "ü€😀");
    socket.volatile.emit("dropped, because the event before is being sent");
    await socket.emitWithAck("ask", { b: Uint8Array.of(1, 2) });
    await socket.timeout(1_000).emitWithAck("ask");
    const gone = next(io.sockets.sockets.values().next().value, "disconnect");
    socket.disconnect();
    await gone;
    assert.deepEqual(seen, [
      '0{"token":"x"}',
      '2["buffered",1]',
      '61-0[{"_placeholder":true,"num":0},{"a":[{"_placeholder":true,"num":1}]}]'.replace("61-", "62-"),
      [7],
      [8],
      '2["e",null,null,"1970-01-01T00:00:00.000Z",5,"ü€😀"]',
      '51-0["ask",{"b":{"_placeholder":true,"num":0}}]',
      [1, 2],
      '21["ask"]',
      "1",
    ]);
  });
}

describe("another parser", () => {
  for (const [name, { io: open }, options, parser] of [
    ["socket.io-client and MessagePack", official, { parser: messagePack }, messagePack],
    ["the build of tidewire for MessagePack", oursWithMessagePack, {}, messagePack],
    ["tidewire and the official parser for JSON", ours, { parser: json }, json],
  ]) {
    for (const [transport, transports] of Object.entries(TRANSPORTS)) {
      it(`carries all kinds of values in both directions, with ${name}, over ${transport}`, async () => {
        const io = await serve({ parser });
        io.on("connection", (socket) => socket.on("echo", (...values) => values.pop()(...values)));
        const socket = await connect({ io: open }, `${io.url}/`, { transports, ...options });
        const values = [0, -1, 1.5, 2 ** 40, "ü€😀", null, true, { list: [[], {}] }, "x".repeat(70_000)];
        const answer = await new Promise((done) => socket.emit("echo", ...values, (...answer) => done(answer)));
        assert.deepEqual(answer, values);
        const date = await socket.emitWithAck("echo", new Date(5));
        assert.deepEqual(date, parser === json ? "1970-01-01T00:00:00.005Z" : new Date(5));
        const bytes = await socket.emitWithAck("echo", Buffer.of(1, 2).buffer.slice(0, 0));
        assert.equal(new Uint8Array(bytes).length, 0);
      });
    }
  }
});
