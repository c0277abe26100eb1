// The versions of the official client that the field uses: each speaks Engine.IO 4 and Socket.IO 5.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, it } from "node:test";
import * as engineIo from "engine.io-client";
import { Fetch, NodeWebSocket } from "socket.io-client";
import { Relay } from "../support/relay.js";
import { startConformanceServer } from "../support/server.js";
import { TRANSPORTS, reasonFor } from "../support/suite.js";
import { next, within } from "../support/wait.js";

const require = createRequire(import.meta.url);

/** The oldest version that speaks Engine.IO 4, and the last release of each later minor version. */
const VERSIONS = {
  ...Object.fromEntries(
    ["3.1", "4.0", "4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7"].map((version) => [version, `socket.io-client-${version}`]),
  ),
  4.8: "socket.io-client",
};

const BYTES = Buffer.from([0, 1, 30, 128, 255]);

let server;
before(async () => (server = await startConformanceServer()));
after(() => server?.stop());

/** Runs `test` with `connect(options)`, and disconnects the clients afterwards. */
async function withClients({ io }, transports, upgrades, test) {
  const name = upgrades || transports[0] === "websocket" ? "websocket" : "polling";
  const clients = [];
  const connect = async (options = {}) => {
    const socket = io(options.url ?? server.url, { transports, forceNew: true, reconnection: false, ...options });
    clients.push(socket);
    await ready(socket, upgrades);
    assert.equal(socket.io.engine.transport.name, name);
    return socket;
  };
  try {
    await test(connect);
  } finally {
    for (const client of clients) {
      client.io.reconnection(false);
      client.disconnect();
      client.io._close(); // also when another namespace is connected
    }
  }
}

/** Waits until the client has connected, and has finished its upgrade if there is one. */
async function ready(socket, upgrades) {
  const upgraded = upgrades && next(socket.io, "open").then(() => next(socket.io.engine, "upgrade"));
  await Promise.all([next(socket, "connect"), upgraded]);
}

/** Defines the tests of one version over one transport. */
function define(client, transports, upgrades) {
  const test = (name, body) => it(name, () => withClients(client, transports, upgrades, body));

  test("exchanges text and bytes", async (connect) => {
    const socket = await connect();
    for (const values of [["hällo €😀"], [BYTES], [1, { deep: [BYTES, "text", BYTES] }, null], ["x".repeat(100_000)]]) {
      const echoed = next(socket, "echo-back");
      socket.emit("echo", ...values);
      assert.deepEqual(await echoed, values);
    }
  });

  test("requests acknowledgements, and is asked for them", async (connect) => {
    const socket = await connect();
    const echoed = await new Promise((resolve) => socket.emit("echo-ack", 1, BYTES, (...values) => resolve(values)));
    assert.deepEqual(echoed, [1, BYTES]);
    socket.on("question", (question, acknowledge) => acknowledge([question, BYTES]));
    const answered = next(socket, "answered");
    socket.emit("ask", "what?");
    assert.deepEqual(await answered, [["what?", BYTES]]);
  });

  test("connects to several namespaces, and is rejected by one", async (connect) => {
    const socket = await connect();
    const custom = socket.io.socket("/custom");
    await next(custom, "connect");
    assert.notEqual(custom.id, socket.id);
    const echoed = next(custom, "echo-back");
    custom.emit("echo", "here");
    assert.deepEqual(await echoed, ["here"]);
    const admin = socket.io.socket("/admin");
    const [error] = await next(admin, "connect_error");
    assert.deepEqual([error.message, error.data], ["not authorized", { code: 401 }]);
  });

  test("receives the broadcasts to its rooms", async (connect) => {
    const [inside, outside, sender] = await Promise.all([connect(), connect(), connect()]);
    const room = `of ${inside.id}`;
    await new Promise((resolve) => inside.emit("join", room, resolve));
    const heard = [];
    outside.on("to-room", (data) => heard.push(data));
    const received = next(inside, "to-room");
    sender.emit("to-room", { room, data: { to: "you" } });
    assert.deepEqual(await received, [{ to: "you" }]);
    await new Promise((resolve) => inside.emit("leave", room, resolve));
    await new Promise((resolve) => outside.emit("join", room, resolve));
    const after = next(outside, "to-room");
    sender.emit("to-room", { room, data: "after" });
    await after;
    assert.deepEqual(heard, ["after"]);
  });

  test("is disconnected by the server, and disconnects by itself", async (connect) => {
    const [watcher, kicked, closed, leaver] = await Promise.all([connect(), connect(), connect(), connect()]);
    const reasons = Promise.all([kicked, closed, leaver].map(({ id }) => reasonFor(watcher, id)));
    const told = [kicked, closed, leaver].map((socket) => next(socket, "disconnect"));
    kicked.emit("kick");
    closed.emit("kick-all");
    leaver.disconnect();
    assert.deepEqual(
      (await Promise.all(told)).map(([reason]) => reason),
      ["io server disconnect", "io server disconnect", "io client disconnect"],
    );
    const server = "server namespace disconnect";
    assert.deepEqual(await reasons, [server, server, "client namespace disconnect"]);
  });

  test("reconnects when its connection is lost, and sends what it has buffered", async (connect) => {
    const relay = await Relay.start(server.url);
    try {
      const socket = await connect({ url: relay.url, reconnection: true, reconnectionDelay: 10 });
      const { id } = socket;
      const told = next(socket, "disconnect");
      relay.break();
      assert.match((await told)[0], /^transport (close|error)$/);
      const echoed = next(socket, "echo-back");
      socket.emit("echo", "buffered");
      relay.repair();
      await ready(socket, upgrades);
      assert.notEqual(socket.id, id);
      assert.deepEqual(await echoed, ["buffered"]);
    } finally {
      relay.stop();
    }
  });
}

describe("the official client", () => {
  for (const [version, name] of Object.entries(VERSIONS)) {
    for (const transport of TRANSPORTS) {
      const upgrades = transport === "polling, then upgraded";
      const transports = upgrades ? ["polling", "websocket"] : [transport];
      describe(`socket.io-client ${version} over ${transport}`, { concurrency: true }, () => {
        define(require(name), transports, upgrades);
      });
    }
  }

  for (const [what, transports, upgrades] of [
    ["fetch", [Fetch], false],
    ["fetch, then upgraded", [Fetch, NodeWebSocket], true],
  ]) {
    describe(`socket.io-client 4.8 over ${what}`, { concurrency: true }, () => {
      define(require("socket.io-client"), transports, upgrades);
    });
  }
});

describe("engine.io-client 6", () => {
  for (const transport of TRANSPORTS) {
    it(`exchanges text and bytes over ${transport}, and is closed by either side`, async () => {
      const upgrades = transport === "polling, then upgraded";
      const open = async () => {
        const socket = new engineIo.Socket(server.url, {
          path: "/socket.io/",
          transports: upgrades ? ["polling", "websocket"] : [transport],
        });
        socket.binaryType = "nodebuffer";
        await Promise.all([next(socket, "open"), upgrades && next(socket, "upgrade")]);
        assert.equal(socket.transport.name, upgrades ? "websocket" : transport);
        const received = [];
        const waiting = [];
        socket.on("message", (data) => (waiting.shift() ?? ((data) => received.push(data)))(data));
        const receive = () =>
          within(8_000, "a message", received.length > 0 ? received.shift() : new Promise((resolve) => waiting.push(resolve)));
        socket.send("0");
        assert.match(await receive(), /^0\{"sid":"[\w-]{20}"\}$/);
        return { socket, receive };
      };
      const { socket, receive } = await open();
      socket.send('2["echo","hällo"]');
      assert.equal(await receive(), '2["echo-back","hällo"]');
      socket.send('51-["echo",{"_placeholder":true,"num":0}]');
      socket.send(BYTES);
      assert.equal(await receive(), '51-["echo-back",{"_placeholder":true,"num":0}]');
      assert.deepEqual(await receive(), BYTES);
      const closed = next(socket, "close");
      socket.close();
      assert.equal((await closed)[0], "forced close");

      const other = await open();
      const ended = next(other.socket, "close");
      other.socket.send('2["kick-all"]');
      assert.match((await ended)[0], /^transport close$/);
    });
  }
});
