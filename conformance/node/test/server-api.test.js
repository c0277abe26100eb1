// What else the server knows of a socket and can do with it.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startConformanceServer } from "../support/server.js";
import { PARSERS, acknowledged, ours, overEachTransportAndParser, serverForTests } from "../support/suite.js";
import { collect, next, record } from "../support/wait.js";

const options = { namespace: "/api" };

overEachTransportAndParser("a socket", (transport, parser) => {
  const server = serverForTests(startConformanceServer, { parser });

  it("knows its transport, and whether a page has opened it", async () => {
    const page = { ...options, extraHeaders: { origin: "https://page.example" } };
    const [socket, fromPage] = [await server.connect(transport, options), await server.connect(transport, page)];
    const name = transport === "polling" ? "polling" : "websocket";
    const known = { transport: name, secure: false };
    assert.deepEqual(await acknowledged(socket, "connection"), [{ ...known, xdomain: false }]);
    assert.deepEqual(await acknowledged(fromPage, "connection"), [{ ...known, xdomain: true }]);
  });

  it("joins a list of rooms, and hears an event for several of them once", async () => {
    const sockets = [];
    for (const rooms of [["a", "b"], ["b", "c"], ["c"]]) {
      const socket = await server.connect(transport, options);
      await acknowledged(socket, "join", rooms);
      sockets.push(socket);
    }
    const told = sockets.map((socket) => record(socket, "told"));
    const counts = async () => {
      for (const socket of sockets) await acknowledged(socket, "connection");
      return told.map((events) => events.splice(0).length);
    };
    sockets[0].emit("to", { rooms: ["a", "b"], except: [] });
    assert.deepEqual(await counts(), [1, 1, 0]);
    sockets[0].emit("to", { rooms: ["b", "c"], except: ["a", "x"] });
    assert.deepEqual(await counts(), [0, 1, 1]);
  });

  ours("does not hear an event for an empty list of rooms", async () => {
    const socket = await server.connect(transport, options);
    const told = record(socket, "told");
    socket.emit("to", { rooms: [], except: [] });
    await acknowledged(socket, "connection");
    assert.deepEqual(told, []);
  });

  it("gets the event `message` with `send`", async () => {
    const [socket, other] = [await server.connect(transport, options), await server.connect(transport, options)];
    const messages = collect(socket, "message", 2);
    const toAll = next(other, "message");
    socket.emit("send", "for one", 1);
    socket.emit("send to all", "for all");
    assert.deepEqual(await messages, [["for one", 1], ["for all"]]);
    assert.deepEqual(await toAll, ["for all"]);
  });

  it("keeps data of any form, and binary data in it", async () => {
    const socket = await server.connect(transport, options);
    assert.deepEqual(await acknowledged(socket, "data"), [{}]);
    const data = { name: "Ann", tags: ["x", null, 1.5], picture: Buffer.from([1, 2, 3]) };
    await acknowledged(socket, "set data", data);
    const [stored] = await acknowledged(socket, "data");
    assert.deepEqual({ ...stored, picture: Buffer.from(stored.picture) }, data);
  });

  it("is one of the sockets of its namespace", async () => {
    const [socket, other] = [await server.connect(transport, options), await server.connect(transport, options)];
    const [ids] = await acknowledged(socket, "sockets");
    assert.deepEqual(ids.sort(), [socket.id, other.id].sort());
  });

  it("is disconnected with the others of its rooms, and with its connection if the program wants it", async () => {
    const sockets = [];
    for (const rooms of [["leave"], ["leave", "close"], ["close"], []]) {
      const main = await server.connect(transport);
      const socket = await server.share(main, options.namespace);
      await acknowledged(socket, "join", rooms);
      sockets.push({ main, socket });
    }
    const disconnects = ({ socket }) => next(socket, "disconnect").then(([reason]) => reason);
    const left = sockets.slice(0, 2).map(disconnects);
    sockets[0].socket.emit("disconnect sockets", "leave", false);
    assert.deepEqual(await Promise.all(left), ["io server disconnect", "io server disconnect"]);
    for (const { main } of sockets) assert.deepEqual(await acknowledged(main, "echo-ack", 1), [1]);

    const closed = [disconnects(sockets[2]), next(sockets[2].main, "disconnect").then(([reason]) => reason)];
    const ended = next(sockets[2].main.io, "close");
    sockets[3].socket.emit("disconnect sockets", "close", true);
    assert.deepEqual(await Promise.all(closed), ["io server disconnect", "io server disconnect"]);
    await ended;
    for (const index of [0, 1, 3]) assert.deepEqual(await acknowledged(sockets[index].main, "echo-ack", 1), [1]);
    assert.equal(sockets[3].socket.connected, true);
  });

  it("is observed until the observers are removed", async () => {
    const socket = await server.connect(transport, options);
    const seen = record(socket, "seen");
    for (const event of ["watch", "connection", "unwatch", "connection"]) await acknowledged(socket, event);
    assert.deepEqual(seen, [["connection"], ["unwatch"]]);
  });
});

for (const parser of Object.values(PARSERS)) describe(`the upgrade with ${parser.name}`, () => {
  const server = serverForTests(startConformanceServer, { parser });

  it("is reported to the server's program, for each socket of the connection", async () => {
    const socket = server.client("polling, then upgraded", options);
    const upgraded = next(socket, "upgraded");
    socket.connect();
    assert.deepEqual(await upgraded, ["websocket"]);
  });

  it("is not reported of a connection that starts on WebSocket", async () => {
    const socket = await server.connect("websocket", options);
    const upgraded = record(socket, "upgraded");
    await acknowledged(socket, "connection");
    assert.deepEqual(upgraded, []);
  });
});
