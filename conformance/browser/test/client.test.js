// What a program in a page can do with a client. The official client and ours do the same.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startApplication, startConformanceServer } from "../../node/support/server.js";
import { browserForTests } from "../support/browser.js";
import { overEachClient, serverForTests, TRANSPORTS } from "../support/suite.js";

const browser = browserForTests();
const server = serverForTests(startConformanceServer);

/** Runs `test` in a page with a connected client over each transport. */
function overEachTransport(library, name, test, expected) {
  for (const transport of TRANSPORTS) {
    it(`${name}, over ${transport}`, async () => {
      // If a client ends a session that the server is ending too, its last request is refused.
      browser.tolerate(/status of 400/);
      const client = await (await browser.open(library)).connect(server.url, transport);
      assert.deepEqual(await client.run(test), expected);
    });
  }
}

overEachClient((library) => {
  describe("acknowledgements", () => {
    overEachTransport(
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
    );

    overEachTransport(
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
    );

    overEachTransport(
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

  describe("the end of a connection", () => {
    overEachTransport(
      library,
      "has the reason of the side that ended it",
      async (socket) => {
        const reasons = [];
        socket.on("disconnect", (reason) => reasons.push([reason, socket.connected, socket.id, socket.active]));
        socket.disconnect();
        socket.connect();
        await next(socket, "connect");
        const kicked = next(socket, "disconnect");
        socket.emit("kick");
        await kicked;
        socket.connect();
        await next(socket, "connect");
        const closed = next(socket, "disconnect");
        socket.emit("kick-all");
        await closed;
        return reasons;
      },
      [
        ["io client disconnect", false, undefined, false],
        ["io server disconnect", false, undefined, false],
        ["io server disconnect", false, undefined, false],
      ],
    );

    for (const transport of TRANSPORTS) {
      it(`follows when the network is lost, and the client comes back, over ${transport}`, async () => {
        browser.tolerate(/net::ERR_|status of 400/);
        const options = { reconnection: true, reconnectionDelay: 10 };
        const client = await (await browser.open(library)).connect(server.url, transport, options);
        const seen = await client.run(async (socket) => {
          const before = socket.id;
          const [ended, back] = [next(socket, "disconnect"), next(socket, "connect")];
          const attempt = next(socket.io, "reconnect");
          window.dispatchEvent(new Event("offline"));
          const [reason, details] = await ended;
          await back;
          return [reason, details.description, await attempt, before !== socket.id, await socket.emitWithAck("echo-ack", 1)];
        });
        assert.deepEqual(seen, ["transport close", "network connection lost", [1], true, 1]);
      });
    }

    it("is told to the server when the page is left, if the program wants this", async () => {
      const watcher = await (await browser.open(library)).connect(server.url, "websocket");
      const page = await browser.open(library);
      const id = await (await page.connect(server.url, "polling", { closeOnBeforeunload: true })).id();
      const gone = await watcher.listen("gone");
      await page.leave();
      // The browser also cancels the request that waits, and the server may see this first.
      const [{ id: goneId, reason }] = await gone();
      assert.equal(goneId, id);
      assert.match(reason, /^transport (close|error)$/);
    });
  });

  describe("a connection that fails", () => {
    it("is tried again as often as the program says, with growing delays", async () => {
      browser.tolerate(/net::ERR_/);
      const page = await browser.open(library);
      const seen = await page.run(async () => {
        const options = { reconnection: true, reconnectionAttempts: 2, reconnectionDelay: 5, reconnectionDelayMax: 20 };
        const socket = client("http://127.0.0.1:1", "websocket", options); // Nothing listens here.
        const seen = [];
        socket.on("connect_error", () => seen.push(`connect_error, active ${socket.active}`));
        const end = new Promise((done) => {
          for (const event of ["error", "reconnect_attempt", "reconnect_failed", "reconnect_error"]) {
            socket.io.on(event, (value) => {
              seen.push(event === "reconnect_attempt" ? `${event} ${value}` : event);
              if (seen.at(-2) === "reconnect_failed") done();
            });
          }
        });
        socket.connect();
        await end;
        return seen;
      });
      const failure = ["error", "connect_error, active true"];
      assert.deepEqual(seen, [
        ...failure,
        "reconnect_attempt 1",
        ...failure,
        "reconnect_error",
        "reconnect_attempt 2",
        ...failure,
        "reconnect_failed",
        "reconnect_error",
      ]);
    });

    it("may use the next transport", async () => {
      browser.tolerate(/WebSocket|status of/);
      const page = await browser.open(library);
      const client = await page.run(async (url) => {
        const options = {
          transports: ["websocket", "polling"],
          tryAllTransports: true,
          transportOptions: { websocket: { path: "/nothing/" } },
        };
        const socket = client(url, "websocket", options);
        socket.connect();
        await settled(socket);
        return socket.io.engine.transport.name;
      }, server.url);
      assert.equal(client, "polling");
    });
  });

  it("events that are retried arrive in order, also when the connection breaks", async () => {
    browser.tolerate(/net::ERR_|status of 400/);
    const options = { retries: 10, ackTimeout: 2_000, reconnection: true, reconnectionDelay: 10 };
    const client = await (await browser.open(library)).connect(server.url, "websocket", options);
    const answers = await client.run(async (socket) => {
      const answers = [];
      for (let number = 0; number < 50; number++) {
        const answer = new Promise((done) => socket.emit("echo-ack", number, (error, value) => done(error?.message ?? value)));
        if (number % 20 === 10) socket.io.engine.close();
        answers.push(answer);
        if (number % 5 === 0) await answer;
      }
      return Promise.all(answers);
    });
    assert.deepEqual(answers, Array.from({ length: 50 }, (_, number) => number));
  });

  it("a client whose server starts again comes back to each namespace", async () => {
    browser.tolerate(/net::ERR_|status of 400/);
    let server = await startConformanceServer();
    try {
      const listen = `127.0.0.1:${server.port}`;
      const options = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };
      const client = await (await browser.open(library)).connect(server.url, "polling, then upgraded", options);
      await client.run(async (socket) => {
        window.custom = socket.io.socket("/custom");
        custom.connect();
        await next(custom, "connect");
        window.back = Promise.all([socket, custom].map((each) => next(each, "disconnect").then(() => next(each, "connect"))));
      });
      await server.stop();
      server = await startConformanceServer({ listen });
      assert.deepEqual(await client.run(async (socket) => (await back, custom.emitWithAck("echo-ack", "back"))), "back");
    } finally {
      await server.stop();
    }
  });

  it("a client may send a query, and headers with polling", async () => {
    const application = await startApplication();
    try {
      const page = await browser.open(library);
      const [socket] = [await page.connect(`${application.url}?token=a%20b&x=1+2`, "polling", { extraHeaders: { "x-token": "abc" } })];
      assert.deepEqual(await socket.run((socket) => socket.emitWithAck("join-room", "r").then(() => true)), true);
      const urls = page.requested.filter((url) => url.includes("EIO=4"));
      for (const url of urls) {
        const { token, x, transport, EIO } = Object.fromEntries(new URL(url).searchParams);
        assert.deepEqual({ token, x, transport, EIO }, { token: "a b", x: "1+2", transport: "polling", EIO: "4" });
      }
      assert.equal(new Set(urls).size, urls.length, "no two requests have the same URL");
    } finally {
      await application.stop();
    }
  });
});
