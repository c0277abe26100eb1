// What a program in a page can do with a connected client. The official client and ours do the same.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startApplication, startConformanceServer } from "../../node/support/server.js";
import { browserForTests } from "../support/browser.js";
import { overEachClient, overEachTransport, serverForTests, TRANSPORTS } from "../support/suite.js";

const browser = browserForTests();
const server = serverForTests(startConformanceServer);

overEachClient((library) => {
  describe("acknowledgements", () => {
    overEachTransport(
      browser,
      server,
      library,
      "come with all their values, and only the first with emitWithAck",
      async (socket) => [
        await new Promise((done) => socket.emit("echo-ack", 1, "two", (...values) => done(values))),
        await socket.emitWithAck("echo-ack", 1, "two"),
        await new Promise((done) => socket.timeout(5_000).emit("echo-ack", 1, "two", (...values) => done(values))),
      ],
      [[1, "two"], 1, [null, 1, "two"]],
    );

    overEachTransport(
      browser,
      server,
      library,
      "fail after their timeout",
      async (socket) => {
        const callback = new Promise((done) => socket.timeout(20).emit("no such event", (error) => done(error.message)));
        const promise = socket.timeout(20).emitWithAck("no such event").catch((error) => error.message);
        return [await callback, await promise, await socket.emitWithAck("echo-ack", "still here")];
      },
      ["operation has timed out", "operation has timed out", "still here"],
    );

    overEachTransport(
      browser,
      server,
      library,
      "are answered once, by the first of several calls",
      async (socket) => {
        socket.on("question", (question, answer) => {
          answer(1, question);
          answer(2);
        });
        const answered = next(socket, "answered");
        socket.emit("ask", "what");
        return answered;
      },
      [1, "what"],
    );

    overEachTransport(
      browser,
      server,
      library,
      "fail when the connection ends, if they have a timeout",
      async (socket) => {
        const answer = socket.timeout(60_000).emitWithAck("no such event").catch((error) => error.message);
        await socket.emitWithAck("echo-ack", 1);
        socket.disconnect();
        return answer;
      },
      "socket has been disconnected",
    );
  });

  describe("events", () => {
    overEachTransport(
      browser,
      server,
      library,
      "may have binary values at any depth",
      async (socket) => {
        const bytes = Uint8Array.of(1, 2, 3, 4);
        const echo = next(socket, "echo-back");
        socket.emit("echo", { list: [bytes.buffer, { deep: [[bytes.subarray(1, 3)]] }], none: null }, new DataView(bytes.buffer, 2));
        const [{ list, none }, view] = await echo;
        return [list[0], list[1].deep[0][0], none, view].map(describeValue);
      },
      ["ArrayBuffer 1,2,3,4", "ArrayBuffer 2,3", "null", "ArrayBuffer 3,4"],
    );

    overEachTransport(
      browser,
      server,
      library,
      "are seen by the listeners of all events, in both directions, and by no removed listener",
      async (socket) => {
        const seen = [];
        const removed = () => seen.push("removed");
        socket.onAny((...event) => seen.push(["in", ...event]));
        socket.prependAny(removed).offAny(removed);
        socket.onAnyOutgoing((...event) => seen.push(["out", ...event]));
        socket.once("echo-back", () => seen.push("once"));
        socket.on("echo-back", removed).off("echo-back", removed);
        socket.emit("echo", 1);
        await next(socket, "echo-back");
        socket.emit("echo", 2);
        await next(socket, "echo-back");
        return [seen, socket.listeners("echo-back").length, socket.hasListeners("echo-back")];
      },
      [[["out", "echo", 1], ["in", "echo-back", 1], "once", ["out", "echo", 2], ["in", "echo-back", 2]], 0, false],
      ["websocket"],
    );

    overEachTransport(
      browser,
      server,
      library,
      "cannot have a name that the client uses",
      (socket) =>
        ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map((name) => {
          try {
            socket.emit(name);
          } catch (error) {
            return error.message;
          }
        }),
      ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map(
        (name) => `"${name}" is a reserved event name`,
      ),
      ["websocket"],
    );

    overEachTransport(
      browser,
      server,
      library,
      "are dropped if they are volatile and cannot be sent immediately",
      async (socket) => {
        const seen = [];
        socket.on("echo-back", (value) => seen.push(value));
        socket.emit("echo", 1);
        socket.volatile.emit("echo", 2);
        await socket.emitWithAck("echo-ack");
        socket.disconnect();
        socket.volatile.emit("echo", 3);
        socket.connect();
        await next(socket, "connect");
        await socket.emitWithAck("echo-ack");
        return seen;
      },
      [1],
    );
  });

  describe("namespaces", () => {
    for (const transport of TRANSPORTS) {
      it(`share a connection, and end independently, over ${transport}`, async () => {
        const client = await (await browser.open(library)).connect(server.url, transport);
        const seen = await client.run(async (socket) => {
          const { io: manager } = socket;
          const [custom, admin] = [manager.socket("/custom"), manager.socket("/admin", { auth: (send) => setTimeout(send, 5, { token: "secret" }) })];
          const welcome = next(admin, "welcome");
          await Promise.all([custom, admin].map((other) => (other.connect(), next(other, "connect"))));
          const shared = [custom, admin].every((other) => other.io === manager && other.id !== socket.id);
          const ended = next(custom, "disconnect");
          custom.emit("kick");
          const [reason] = await ended;
          const [echo] = await Promise.all([admin.emitWithAck("echo-ack", "admin"), socket.emitWithAck("echo-ack", "main")]);
          custom.connect();
          await next(custom, "connect");
          return [shared, (await welcome)[0], reason, echo, manager.socket("/custom") === custom, custom.active];
        });
        assert.deepEqual(seen, [true, { token: "secret" }, "io server disconnect", "admin", true, true]);
      });
    }

    it("share a connection between calls of io, except for the same namespace, and when asked not to", async () => {
      const page = await browser.open(library);
      const seen = await page.run(async (url) => {
        const options = { transports: ["websocket"] };
        const sockets = ["", "/custom", "/custom", "/room-7?x=1"].map((path) => io(url + path, options));
        sockets.push(io(url, { ...options, forceNew: true }), io(url, { ...options, multiplex: false }));
        await Promise.all(sockets.map((socket) => next(socket, "connect")));
        const where = await sockets[3].emitWithAck("where");
        return [sockets.map((socket) => sockets.findIndex((other) => other.io === socket.io)), where];
      }, server.url);
      assert.deepEqual(seen, [[0, 0, 2, 0, 4, 5], "/room-7"]);
    });
  });

  it("a client may send a query, and headers with polling", async () => {
    const application = await startApplication();
    try {
      const page = await browser.open(library);
      const headers = { extraHeaders: { "x-token": "abc" } };
      const socket = await page.connect(`${application.url}?token=a%20b&x=1+2`, "polling", headers);
      assert.deepEqual(await socket.run((socket) => socket.emitWithAck("join-room", "r").then(() => true)), true);
      const urls = page.requested.filter((url) => url.includes("EIO=4"));
      for (const url of urls) {
        const { token, x, transport, EIO } = Object.fromEntries(new URL(url).searchParams);
        assert.deepEqual({ token, x, transport, EIO }, { token: "a b", x: "1+2", transport: "polling", EIO: "4" });
      }
      assert.equal(new Set(urls).size, urls.length, "no two requests have the same URL");
      // A page that polls a server that stops reports a failed request.
      await page.leave();
    } finally {
      await application.stop();
    }
  });
});
