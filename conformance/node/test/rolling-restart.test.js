// A server that is stopped hands its clients over to another one: a rolling restart behind a load balancer.
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { io } from "socket.io-client";
import { Relay } from "../support/relay.js";
import { startApplication } from "../support/server.js";
import { acknowledged } from "../support/suite.js";
import { next, nextWhere } from "../support/wait.js";

const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];

describe("a server that is stopped while another one runs", () => {
  const sockets = [];
  let first, second, balancer;
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.disconnect();
    balancer?.stop();
    await first?.stop();
    await second?.stop();
    first = second = balancer = undefined;
  });

  it("hands over the clients of every transport, which reconnect by themselves", async () => {
    [first, second] = await Promise.all([startApplication(), startApplication()]);
    balancer = await Relay.start(first.url, second.url);
    for (let i = 0; i < 30; i += 1) {
      const transports = TRANSPORTS[i % TRANSPORTS.length];
      sockets.push(io(balancer.url, { transports, reconnectionDelay: 20, reconnectionDelayMax: 200, forceNew: true }));
    }
    await Promise.all(sockets.map((socket) => next(socket, "connect")));
    const told = Promise.all(sockets.map((socket) => next(socket, "disconnect")));
    const returned = Promise.all(sockets.map((socket) => next(socket.io, "reconnect").then(() => acknowledged(socket, "join-room", "general"))));
    await first.stop();
    first = undefined;
    for (const [reason] of await told) assert.match(reason, /^transport (close|error)$/);
    for (const answer of await returned) assert.deepEqual(answer, []);
    // They are on the second server: it tells all of them.
    const direct = io(second.url, { transports: ["websocket"], forceNew: true });
    sockets.push(direct);
    await next(direct, "connect");
    const news = `${direct.id} joined general`;
    const notified = Promise.all(sockets.map((socket) => nextWhere(socket, "notification", (text) => text === news)));
    direct.emit("join-room", "general");
    await notified;
  });
});
