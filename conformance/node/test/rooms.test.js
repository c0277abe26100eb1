// Rooms, and the receivers of broadcasts.
import assert from "node:assert/strict";
import { it } from "node:test";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, overEachTransportAndParser, serverForTests } from "../support/suite.js";
import { next, record } from "../support/wait.js";

overEachTransportAndParser("rooms", (transport, parser) => {
  const server = serverForTests(startConformanceServer, { parser });

  /** Three clients; all are in room `all`, the first two in room `pair`. */
  const three = async () => {
    const sockets = await Promise.all([1, 2, 3].map(() => server.connect(transport)));
    for (const socket of sockets) await acknowledged(socket, "join", "all");
    for (const socket of sockets.slice(0, 2)) await acknowledged(socket, "join", "pair");
    return sockets;
  };

  /**
   * Returns what each of `sockets` received as `event` after `sender` emitted it. When it returns, no message is in
   * flight.
   */
  const receivedBy = async (sockets, sender, event, data) => {
    const records = sockets.map((socket) => record(socket, event));
    sender.emit(event, data);
    await acknowledged(sender, "echo-ack");
    await Promise.all(sockets.map((socket) => acknowledged(socket, "echo-ack")));
    return records.map((seen) => seen.flat());
  };

  it("of a new socket are the one of its own id", async () => {
    const socket = await server.connect(transport);
    assert.deepEqual(await acknowledged(socket, "rooms"), [[socket.id]]);
  });

  it("are joined and left", async () => {
    const socket = await server.connect(transport);
    await acknowledged(socket, "join", "one");
    await acknowledged(socket, "join", "two");
    await acknowledged(socket, "join", "two");
    assert.deepEqual((await acknowledged(socket, "rooms"))[0].sort(), ["one", "two", socket.id].sort());
    await acknowledged(socket, "leave", "one");
    await acknowledged(socket, "leave", "never joined");
    assert.deepEqual((await acknowledged(socket, "rooms"))[0].sort(), ["two", socket.id].sort());
  });

  it("are left by a socket that comes back under a new id", async () => {
    const socket = await server.connect(transport);
    await acknowledged(socket, "join", "one");
    socket.disconnect();
    const connected = next(socket, "connect");
    socket.connect();
    await connected;
    assert.deepEqual(await acknowledged(socket, "rooms"), [[socket.id]]);
  });

  it("answer a question of the server, each socket with its first value", async () => {
    const sockets = await three();
    sockets.forEach((socket, index) => {
      socket.on("question", (question, acknowledge) => acknowledge([question, index], "ignored"));
    });
    const [answers, isComplete] = await acknowledged(sockets[2], "ask-room", { room: "pair", data: "who?" });
    assert.deepEqual([answers.sort(), isComplete], [[["who?", 0], ["who?", 1]], true]);
    assert.deepEqual(await acknowledged(sockets[0], "ask-room", { room: "nobody", data: 1 }), [[], true]);
  });

  it("answer a question in part if a socket is silent", async () => {
    const sockets = await three();
    for (const index of [0, 2]) {
      sockets[index].on("question", (bytes, acknowledge) => acknowledge({ bytes, index }));
    }
    const bytes = Buffer.from([1, 2, 3]);
    const [answers, isComplete] = await acknowledged(sockets[0], "ask-room", { room: "all", data: bytes });
    answers.sort((one, other) => one.index - other.index);
    assert.deepEqual([answers, isComplete], [[{ bytes, index: 0 }, { bytes, index: 2 }], false]);
  });

  it("are fetched with their sockets", async () => {
    const sockets = await three();
    const [fetched] = await acknowledged(sockets[2], "fetch-room", "pair");
    const seen = fetched.map(([id, rooms, first]) => [id, rooms.sort(), first]).sort();
    const first = transport === "websocket" ? "websocket" : "polling"; // of the handshake request
    const expected = sockets.slice(0, 2).map(({ id }) => [id, ["all", id, "pair"].sort(), first]).sort();
    assert.deepEqual(seen, expected);
  });

  it("receive from a socket, itself excluded", async () => {
    const sockets = await three();
    assert.deepEqual(await receivedBy(sockets, sockets[0], "to-room", { room: "pair", data: 1 }), [[], [1], []]);
  });

  it("receive from the server, everyone included", async () => {
    const sockets = await three();
    assert.deepEqual(await receivedBy(sockets, sockets[0], "in-room", { room: "pair", data: 2 }), [[2], [2], []]);
  });

  it("are excepted from a broadcast to all", async () => {
    const sockets = await three();
    assert.deepEqual(await receivedBy(sockets, sockets[0], "all-but", { except: "pair", data: 3 }), [[], [], [3]]);
  });

  it("receive one copy each when local only", async () => {
    const sockets = await three();
    assert.deepEqual(await receivedBy(sockets, sockets[2], "local-room", { room: "all", data: 4 }), [[4], [4], [4]]);
  });

  it("of one id are a way to reach one socket", async () => {
    const sockets = await three();
    const sent = { room: sockets[2].id, data: "private" };
    assert.deepEqual(await receivedBy(sockets, sockets[0], "to-room", sent), [[], [], ["private"]]);
  });

  it("without members receive nothing and break nothing", async () => {
    const sockets = await three();
    assert.deepEqual(await receivedBy(sockets, sockets[0], "to-room", { room: "empty", data: 5 }), [[], [], []]);
  });

  it("are not needed to broadcast to everyone else", async () => {
    const sockets = await three();
    assert.deepEqual(await receivedBy(sockets, sockets[1], "broadcast", { text: "€" }), [[{ text: "€" }], [], [{ text: "€" }]]);
  });

  it("may have names of any script", async () => {
    const [sender, member] = [await server.connect(transport), await server.connect(transport)];
    const room = "Raum/№ 1, \"eins\" 🎉";
    await acknowledged(member, "join", room);
    const received = next(member, "to-room");
    sender.emit("to-room", { room, data: "found" });
    assert.deepEqual(await received, ["found"]);
  });

  it("keep the order of many broadcasts", async () => {
    const [sender, member] = [await server.connect(transport), await server.connect(transport)];
    await acknowledged(member, "join", "order");
    const seen = record(member, "to-room");
    const numbers = Array.from({ length: 300 }, (_, number) => number);
    for (const data of numbers) sender.emit("to-room", { room: "order", data });
    await acknowledged(sender, "echo-ack");
    await acknowledged(member, "echo-ack");
    assert.deepEqual(seen.flat(), numbers);
  });
});

overEachTransportAndParser(
  "a volatile event",
  (transport, parser) => {
    const server = serverForTests(startConformanceServer, { parser });

    it("arrives when nothing is in its way", async () => {
      const socket = await server.connect(transport);
      const received = next(socket, "volatile");
      socket.emit("volatile", { fleeting: true });
      assert.deepEqual(await received, [{ fleeting: true }]);
    });
  },
  ["websocket", "polling, then upgraded"],
);
