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
  const { client } = clientsForTests();

  it("tries as often as it may, and gives up", async () => {
    const http = createServer().listen(0, "127.0.0.1");
    await once(http, "listening");
    const { port } = http.address();
    http.close();
    const started = client(`http://127.0.0.1:${port}`, { ...FAST, reconnectionAttempts: 2 });
    await started.next("connect_error");
    assert.equal(await started.next("reconnect_attempt"), 1);
    assert.equal(await started.next("reconnect_attempt"), 2);
    await started.next("reconnect_failed");
  });

  it("goes on trying whatever the status of the response is", async () => {
    for (const status of [301, 401, 403, 404, 410, 500, 503]) {
      let requests = 0;
      const http = createServer((_request, response) => {
        requests += 1;
        response.writeHead(status, { location: "/elsewhere" }).end();
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
