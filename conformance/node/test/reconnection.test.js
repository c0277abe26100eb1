// The client reconnects after the server was stopped and started again.
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { io } from "socket.io-client";
import { startApplication } from "../support/server.js";
import { acknowledged } from "../support/suite.js";
import { next } from "../support/wait.js";

const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"], "polling and websocket": ["polling", "websocket"] };

describe("reconnection", () => {
  let server, socket;
  afterEach(async () => {
    socket?.disconnect();
    await server?.stop();
  });

  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    it(`happens by itself over ${name}, to a server that was stopped and started again`, async () => {
      server = await startApplication();
      const listen = `127.0.0.1:${server.port}`;
      socket = io(server.url, { transports, reconnectionDelay: 20, reconnectionDelayMax: 100, forceNew: true });
      await next(socket, "connect");
      const before = socket.id;
      assert.deepEqual(await acknowledged(socket, "join-room", "general"), []);

      const told = next(socket, "disconnect");
      await server.stop();
      const [reason] = await told;
      assert.match(reason, /^transport (close|error)$/);
      assert.equal(socket.active, true);

      const attempt = next(socket.io, "reconnect_attempt");
      const waiting = acknowledged(socket, "message", "emitted while there was no server");
      await attempt;
      const echoed = next(socket, "message");
      const reconnected = next(socket.io, "reconnect");
      server = await startApplication({ listen });
      await reconnected;
      assert.deepEqual(await waiting, []);
      assert.deepEqual(await echoed, ["Echo: emitted while there was no server"]);
      assert.notEqual(socket.id, before);

      const notified = next(socket, "notification");
      socket.emit("join-room", "general");
      assert.deepEqual(await notified, [`${socket.id} joined general`]);
    });
  }
});
