// Socket.IO 4 over Engine.IO 3: the last release of `socket.io-client` 2, with `allowEIO3`.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { afterEach, describe, it } from "node:test";
import { request } from "../support/http.js";
import { startConformanceServer } from "../support/server.js";
import { TRANSPORTS, acknowledged, reasonFor, serverForTests } from "../support/suite.js";
import { next, nextWhere, record, within } from "../support/wait.js";
import { Conversation } from "../support/websocket.js";

const connect2 = createRequire(import.meta.url)("socket.io-client-2");

const BYTES = Buffer.from([0, 1, 30, 128, 255]);

/** Emits an event and returns the values of its acknowledgement. Version 2 has no timeout for it. */
const answered = (socket, event, ...values) =>
  within(8_000, `the acknowledgement of "${event}"`, new Promise((done) => socket.emit(event, ...values, (...answer) => done(answer))));

class Clients {
  #sockets = [];

  /** Creates a client of version 2 with its own connection, which connects at once. */
  client(url, transport, options = {}) {
    const socket = connect2(url, {
      transports: transport === "polling, then upgraded" ? ["polling", "websocket"] : [transport],
      forceNew: true,
      reconnection: false,
      // The client in Node decodes every polling response as UTF-8, so bytes need base64.
      forceBase64: transport !== "websocket",
      ...options,
    });
    this.#sockets.push(socket);
    return socket;
  }

  /** Creates a client of version 2 and waits until it has connected and finished its upgrade, if there is one. */
  async connect(url, transport, options) {
    const socket = this.client(url, transport, options);
    const upgraded = transport === "polling, then upgraded" && next(socket.io.engine, "upgrade");
    await Promise.all([next(socket, "connect"), upgraded]);
    return socket;
  }

  closeAll() {
    for (const socket of this.#sockets.splice(0)) {
      socket.io.reconnection(false);
      socket.io.close();
    }
  }
}

const clients = new Clients();
afterEach(() => clients.closeAll());

for (const transport of TRANSPORTS) {
  describe(`socket.io-client 2 over ${transport}`, () => {
    const server = serverForTests(startConformanceServer, { args: ["--allow-eio3", "yes"] });
    const connect = (namespace = "", options) => clients.connect(server.url + namespace, transport, options);

    it("connects without a request, under the id that both sides know", async () => {
      const socket = await connect();
      const [rooms] = await answered(socket, "rooms");
      assert.deepEqual(rooms, [socket.id]);
      assert.equal(socket.id, socket.io.engine.id);
      assert.equal(socket.io.engine.transport.name, transport === "polling" ? "polling" : "websocket");
    });

    it("exchanges events with arguments and bytes", async () => {
      const socket = await connect();
      for (const values of [[], [1, "é😀", null, { a: [true] }], [BYTES, { deep: [BYTES] }, "text"]]) {
        const back = next(socket, "echo-back");
        socket.emit("echo", ...values);
        assert.deepEqual(await back, values);
      }
    });

    it("exchanges acknowledgements in both directions", async () => {
      const socket = await connect();
      assert.deepEqual(await answered(socket, "echo-ack", 1, { two: 2 }), [1, { two: 2 }]);
      assert.deepEqual(await answered(socket, "echo-ack", BYTES, "text"), [BYTES, "text"]);
      socket.on("question", (question, answer) => answer(question, BYTES));
      for (const question of ["why", BYTES]) {
        const answer = next(socket, "answered");
        socket.emit("ask", question);
        assert.deepEqual(await answer, [question, BYTES]);
      }
    });

    it("sends what it emits before it has connected", async () => {
      const socket = clients.client(server.url, transport);
      assert.deepEqual(await answered(socket, "echo-ack", "early"), ["early"]);
    });

    it("connects to a namespace with the query as its auth payload", async () => {
      const socket = clients.client(server.url, transport);
      const admin = socket.io.socket("/admin", { query: { token: "secret", "a b": "é&=" } });
      const [welcome] = await next(admin, "welcome");
      assert.deepEqual(welcome, { token: "secret", "a b": "é&=" });
      assert.deepEqual(await answered(admin, "rooms"), [[admin.id]]);
      assert.equal(admin.id, `/admin#${socket.io.engine.id}`);
      assert.deepEqual(await answered(admin, "echo-ack", BYTES), [BYTES]);
      assert.deepEqual(await answered(socket, "echo-ack", "main"), ["main"]);
    });

    it("connects to a namespace in the URL, with and without a query", async () => {
      const custom = await connect("/custom");
      assert.deepEqual(await answered(custom, "rooms"), [[custom.id]]);
      const admin = await connect("/admin?token=secret");
      assert.deepEqual(await answered(admin, "echo-ack", "in"), ["in"]);
    });

    it("gets the data of a refusal, or its message, in the event `error`", async () => {
      const socket = await connect();
      const admin = socket.io.socket("/admin", { query: "token=wrong" });
      assert.deepEqual(await next(admin, "error"), [{ code: 401 }]);
      const nowhere = socket.io.socket("/nowhere");
      assert.deepEqual(await next(nowhere, "error"), [{ message: "Invalid namespace" }]);
      assert.deepEqual(await answered(socket, "echo-ack", "still here"), ["still here"]);
    });

    it("shares a room with a client of version 4", async () => {
      const [old, young] = [await connect(), await server.connect("websocket")];
      await answered(old, "join", "hall");
      await acknowledged(young, "join", "hall");
      for (const [from, to] of [[old, young], [young, old]]) {
        const received = next(to, "to-room");
        const own = record(from, "to-room");
        from.emit("to-room", { room: "hall", data: { text: "hello" } });
        assert.deepEqual(await received, [{ text: "hello" }]);
        assert.deepEqual(own, []);
      }
      const both = [old, young].map((socket) => next(socket, "in-room"));
      young.emit("in-room", { room: "hall", data: 1 });
      assert.deepEqual(await Promise.all(both), [[1], [1]]);
      for (const [from, to] of [[old, young], [young, old]]) {
        const received = next(to, "broadcast");
        from.emit("broadcast", BYTES);
        assert.deepEqual(await received, [BYTES]);
      }
    });

    it("is reached by its id as a room, in each namespace", async () => {
      const socket = await connect();
      const custom = socket.io.socket("/custom");
      await next(custom, "connect");
      for (const receiver of [socket, custom]) {
        const sender = await server.connect("websocket", { namespace: receiver.nsp });
        const received = next(receiver, "to-room");
        sender.emit("to-room", { room: receiver.id, data: "for you" });
        assert.deepEqual(await received, ["for you"]);
      }
    });

    it("is excluded from its own broadcasts", async () => {
      const [one, two] = [await connect("/custom"), await connect("/custom")];
      const own = record(one, "broadcast");
      const received = next(two, "broadcast");
      one.emit("broadcast", "all");
      assert.deepEqual(await received, ["all"]);
      await answered(one, "echo-ack");
      assert.deepEqual(own, []);
    });

    it("disconnects from the server with a reason on both sides", async () => {
      const watcher = await server.connect("websocket");
      const socket = await connect();
      const { id } = socket;
      const [reason, own] = [reasonFor(watcher, id), next(socket, "disconnect")];
      socket.disconnect();
      assert.deepEqual(await own, ["io client disconnect"]);
      assert.equal(await reason, "client namespace disconnect");
    });

    it("leaves a namespace and connects to it again, with the same id and without its rooms", async () => {
      const watcher = await server.connect("websocket", { namespace: "/custom" });
      const main = await connect();
      const custom = main.io.socket("/custom");
      await next(custom, "connect");
      const { id } = custom;
      await answered(custom, "join", "hall");
      const reason = reasonFor(watcher, id);
      custom.disconnect();
      assert.equal(await reason, "client namespace disconnect");
      const connected = next(custom, "connect");
      custom.connect();
      await connected;
      assert.equal(custom.id, id);
      assert.deepEqual(await answered(custom, "rooms"), [[id]]);
      assert.deepEqual(await answered(main, "echo-ack", "main"), ["main"]);
    });

    it("is disconnected by the server with a reason on both sides", async () => {
      const watcher = await server.connect("websocket");
      for (const [event, seen] of [["kick", "server namespace disconnect"], ["kick-all", "server namespace disconnect"]]) {
        const socket = await connect();
        const { id } = socket;
        const [reason, own] = [reasonFor(watcher, id), next(socket, "disconnect")];
        socket.emit(event);
        assert.deepEqual(await own, ["io server disconnect"]);
        assert.equal(await reason, seen);
      }
    });

    it("reconnects under a new id after its connection was lost", async () => {
      const watcher = await server.connect("websocket");
      const socket = await connect("", { reconnection: true, reconnectionDelay: 10 });
      const { id } = socket;
      const gone = nextWhere(watcher, "gone", (departure) => departure.id === id);
      const [lost, back] = [next(socket, "disconnect"), next(socket, "reconnect")];
      socket.io.engine.close();
      assert.deepEqual(await lost, ["forced close"]);
      await Promise.all([back, gone]);
      const [[room]] = await answered(socket, "rooms");
      assert.equal(room, socket.id);
      assert.notEqual(room, id);
    });
  });
}

describe("the wire of Socket.IO 4", () => {
  const server = serverForTests(startConformanceServer, { args: ["--allow-eio3", "yes"] });

  async function open() {
    const conversation = await Conversation.open(`${server.webSocketUrl}/socket.io/?EIO=3&transport=websocket`);
    assert.match(await conversation.receive(), /^0\{/);
    assert.equal(await conversation.receive(), "40");
    return conversation;
  }

  for (const [what, message, answer] of [
    ["answers a request without data", "40/custom", "40/custom,"],
    ["ignores an auth payload, and takes the query", '40/admin?token=secret,{"token":"wrong"}', "40/admin,"],
    ["refuses an auth payload in place of a query", '40/admin,{"token":"secret"}', '44/admin,{"code":401}'],
    ["takes the last value of a parameter", "40/admin?token=wrong&token=secret", "40/admin,"],
    ["names a namespace that does not exist without its query", "40/nowhere?token=1", '44/nowhere,{"message":"Invalid namespace"}'],
    ["acknowledges an event", '427["echo-ack",1]', "437[1]"],
    ["accepts a query in the namespace of a disconnect and of an event", '42/?x=1,7["echo-ack",1]', "437[1]"],
  ]) {
    it(what, async () => {
      const conversation = await open();
      conversation.send(message);
      assert.equal(await conversation.receive(), answer);
      conversation.end();
    });
  }

  for (const jsonp of ["", "&j=0"]) {
    it(`connects over polling without a request${jsonp && ", with JSONP"}`, async () => {
      const poll = async (sid) => {
        const { body } = await request(`${server.url}/socket.io/?EIO=3&transport=polling&b64=1${jsonp}${sid}`);
        return jsonp ? JSON.parse(/^___eio\[0\]\((.*)\);$/.exec(body)[1]) : body;
      };
      const opening = await poll("");
      assert.match(opening, /^\d+:0\{/);
      const sid = /"sid":"([\w-]{20})"/.exec(opening)[1];
      // Node sends the packet in the second response.
      if (!opening.endsWith("2:40")) assert.equal(await poll(`&sid=${sid}`), "2:40");
    });
  }

  it("takes the main namespace back from a client that has left it", async () => {
    const conversation = await open();
    for (const message of ["41", "40/custom"]) conversation.send(message);
    assert.equal(await conversation.receive(), "40/custom,");
    conversation.send("40");
    assert.equal(await conversation.receive(), "40");
    conversation.end();
  });

  for (const message of ["40", '42/custom,["echo"]', '44"encode error"', '450-["echo"]', "41/custom,", "4"]) {
    it(`ends with the message ${message}`, async () => {
      const conversation = await open();
      conversation.send(message);
      await conversation.ended();
    });
  }
});

describe("a server without allowEIO3", () => {
  const server = serverForTests(startConformanceServer);

  it("refuses a client of version 2 and says why", async () => {
    const response = await request(`${server.url}/socket.io/?EIO=3&transport=polling`);
    assert.equal(response.status, 400);
    assert.deepEqual(JSON.parse(response.body), { code: 5, message: "Unsupported protocol version" });
  });
});
