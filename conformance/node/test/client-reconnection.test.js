// Tidewire's client of Socket.IO when its connection breaks, against a server with the package `socket.io`.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, afterEach, before, describe, it } from "node:test";
import { Server } from "socket.io";
import { clientsForTests, transportOptions } from "../support/socketio-client.js";
import { TRANSPORTS } from "../support/suite.js";
import { next, within, withResolvers } from "../support/wait.js";

/** A server with the package `socket.io` in this process, which the tests control. */
function hostForTests(serverOptions) {
  const host = {};
  before(async () => {
    host.http = createServer();
    host.io = new Server(host.http, serverOptions);
    host.http.listen(0, "127.0.0.1");
    await once(host.http, "listening");
    host.port = host.http.address().port;
    host.url = `http://127.0.0.1:${host.port}`;
  });
  afterEach(() => {
    host.io.removeAllListeners();
    host.io.disconnectSockets(true);
  });
  after(() => host.io.close());
  return host;
}

const FAST = { reconnectionDelay: 10, reconnectionDelayMax: 50 };

for (const transport of TRANSPORTS) {
  describe(`our client of Socket.IO whose connection over ${transport} breaks`, () => {
    const host = hostForTests();
    const { client } = clientsForTests();
    const connect = async (more) => {
      const connection = next(host.io, "connection");
      const started = client(host.url, { ...transportOptions(transport), ...FAST, ...more });
      const [socket] = await connection;
      const { id } = await started.next("connect");
      return { started, socket, id };
    };

    it("reconnects, and sends what it has buffered", async () => {
      const { started, socket, id } = await connect({ reconnectionDelay: 200 });
      const buffered = new Promise((resolve) => {
        host.io.on("connection", (second) => second.on("buffered", (...values) => resolve(values)));
      });
      socket.conn.close();
      assert.match(await started.next("disconnect"), /^transport (close|error)$/);
      started.does({ emit: ["buffered", 1, "x"] });
      assert.equal(await started.next("reconnect_attempt"), 1);
      assert.equal(await started.next("reconnect"), 1);
      assert.notEqual((await started.next("connect")).id, id);
      assert.deepEqual(await within(8_000, "the buffered event", buffered), [1, "x"]);
    });

    it("fails the acknowledgements of what was sent", async () => {
      const { started, socket } = await connect();
      started.does({ ask: ["not answered"] });
      await next(socket, "not answered");
      socket.conn.close();
      assert.equal(await started.next("ackError"), "socket has been disconnected");
    });

    it("sends an event with `retries` until it is acknowledged", async () => {
      const tries = [];
      const { promise: done, resolve } = withResolvers();
      host.io.on("connection", (socket) => {
        socket.on("reading", (number, acknowledge) => {
          tries.push(number);
          if (tries.length === 1) return; // the acknowledgement is lost
          if (tries.length === 2) return socket.conn.close();
          acknowledge();
          if (number === 2) resolve();
        });
      });
      const { started } = await connect({ retries: 10, ackTimeout: 100 });
      started.does({ emit: ["reading", 1] }, { emit: ["reading", 2] });
      await within(8_000, "all readings", done);
      assert.deepEqual(tries, [1, 1, 1, 2]);
    });
  });
}

describe("our client of Socket.IO without a server", () => {
  const { client, official } = clientsForTests();

  it("tries as often as it may, and gives up, in the order of the official client", async () => {
    const http = createServer().listen(0, "127.0.0.1");
    await once(http, "listening");
    const { port } = http.address();
    http.close();
    for (const start of [official, client]) {
      const started = start(`http://127.0.0.1:${port}`, { ...FAST, reconnectionAttempts: 2 });
      await started.next("reconnect_error");
      await started.next("reconnect_failed");
      await started.next("reconnect_error");
      const reports = started.said.filter((line) => !("nsp" in line));
      assert.deepEqual(reports, [
        { reconnect_attempt: 1 },
        { reconnect_error: true },
        { reconnect_attempt: 2 },
        { reconnect_failed: true },
        { reconnect_error: true },
      ]);
      assert.ok(started.said.some((line) => "connect_error" in line));
    }
  });

  it("goes on trying whatever the status of the response is", async () => {
    for (const status of [301, 400, 401, 403, 404, 410, 500, 503]) {
      let requests = 0;
      const http = createServer((_request, response) => {
        requests += 1;
        const body = status === 400 ? '{"code":1,"message":"Session ID unknown"}' : "";
        response.writeHead(status, { location: "/elsewhere", "content-type": "application/json" }).end(body);
      }).listen(0, "127.0.0.1");
      await once(http, "listening");
      const started = client(`http://127.0.0.1:${http.address().port}`, FAST);
      for (const attempt of [1, 2, 3]) assert.equal(await started.next("reconnect_attempt"), attempt);
      assert.ok(requests >= 3, `${status}`);
      started.kill();
      http.close();
      http.closeAllConnections();
    }
  });
});

describe("our client of Socket.IO over polling whose session the server has forgotten", () => {
  const host = hostForTests();
  const { client } = clientsForTests();

  it("opens a new session after a 400 with `Session ID unknown`, and sends what it has buffered", async () => {
    const received = new Promise((resolve) => {
      host.io.on("connection", (socket) => socket.on("buffered", (value) => resolve(value)));
    });
    const connection = next(host.io, "connection");
    const started = client(host.url, { ...transportOptions("polling"), ...FAST, reconnectionDelay: 200 });
    const [socket] = await connection;
    const { id } = await started.next("connect");
    // The server forgets the session, and answers the waiting poll. The next request gets the 400.
    const refusal = new Promise((resolve) => host.io.engine.once("connection_error", resolve));
    delete host.io.engine.clients[socket.conn.id];
    socket.emit("last");
    const { code, message } = await within(8_000, "the refusal", refusal);
    assert.deepEqual([code, message], [1, "Session ID unknown"]);
    assert.equal(await started.next("disconnect"), "transport error");
    started.does({ emit: ["buffered", 1] });
    assert.equal(await started.next("reconnect"), 1);
    assert.notEqual((await started.next("connect")).id, id);
    assert.equal(await within(8_000, "the buffered event", received), 1);
    socket.conn.close();
  });
});

for (const transport of TRANSPORTS) {
  describe(`our client of Socket.IO and connection state recovery over ${transport}`, () => {
    const host = hostForTests({ connectionStateRecovery: {} });
    const { client } = clientsForTests();

    it("gets what it has missed, in order, before it is connected again", async () => {
      const connection = next(host.io, "connection");
      const started = client(host.url, { ...transportOptions(transport), ...FAST });
      let [socket] = await connection;
      const { id, recovered } = await started.next("connect");
      assert.equal(recovered, false);
      let sent = 0;
      for (let cut = 0; cut < 5; cut += 1) {
        socket.emit("event", (sent += 1));
        assert.equal((await started.next("event"))[1], sent);
        const again = next(host.io, "connection");
        socket.conn.close();
        await started.next("disconnect");
        const missed = [(sent += 1), (sent += 1)];
        for (const number of missed) host.io.to(id).emit("event", number);
        for (const number of missed) assert.equal((await started.next("event"))[1], number);
        assert.deepEqual(await started.next("connect"), { id, recovered: true });
        [socket] = await again;
      }
    });

    it("is a new socket if the server does not know it any more", async () => {
      const connection = next(host.io, "connection");
      const started = client(host.url, { ...transportOptions(transport), ...FAST });
      const [socket] = await connection;
      const { id } = await started.next("connect");
      socket.emit("event", 1);
      await started.next("event");
      host.io.of("/").adapter.sessions.clear();
      socket.conn.on("close", () => host.io.of("/").adapter.sessions.clear());
      socket.conn.close();
      const connected = await started.next("connect");
      assert.equal(connected.recovered, false);
      assert.notEqual(connected.id, id);
    });
  });
}
